"""Which items come first: those whose label should teach most. A random share keeps a random place, marked so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import pstdev
from typing import Literal

from sqlalchemy import ColumnElement, Connection, bindparam, select, true, update

from heedful.errors import InputError
from heedful.feedback.judgements import RANDOM
from heedful.feedback.prepared import AnyRow
from heedful.feedback.projects import GIVEN, Project
from heedful.feedback.queue import back_to, next_place, share_of
from heedful.feedback.routing import AUDIT, route
from heedful.feedback.sheet import Answered, read_answered
from heedful.feedback.submit import label_of
from heedful.feedback.tables import assignment, completion, item, judgement, prompt
from heedful.records import Prompt, messages_from_rows

Rule = Literal["random", "interval", "ensemble", "disagreement"]
BATCH = 1000
LEFT = "left to machines"
REST = "rest"  # by what an item was placed that no rule speaks of, or that one had placed before


def reorder(connection: Connection, of: Project, rule: Rule) -> dict[str, int]:
    """Put the items that nobody has begun in a new order; returns how many were placed by what.

    interval: where one more judgement narrows a Bradley-Terry interval most (Chatbot Arena's rule, 2403.04132, § 5).
    ensemble: where reward models differ most about the gap between two answers. disagreement: where machines differ
    among themselves or from people. Items with a priority of their own stay where they are. Where the queue audits by
    agreement, items are first given to people or left to machines' labels, and those left are counted too.
    """
    left = route(connection, of)
    columns = (item.c.id, item.c.completions, item.c.scores, item.c.chosen_by)
    rows = connection.execute(select(*columns).where(*_not_begun(of), item.c.chosen_by != GIVEN)).all()
    worth = _worth(connection, of, rows, rule)
    epoch = next_place(connection, of.id)
    placed = _placed(of, {row.id: row.chosen_by for row in rows}, worth, rule, epoch)
    change = update(item).where(item.c.id == bindparam("which")).values(
        place=bindparam("at"), chosen_by=bindparam("why")
    )  # fmt: skip
    for start in range(0, len(placed), BATCH):
        connection.execute(
            change, [{"which": key, "at": at, "why": why} for key, at, why in placed[start : start + BATCH]]
        )
    back_to(connection, of.id, float(epoch))
    return dict(Counter(why for _, _, why in placed)) | ({LEFT: left} if left else {})


def _not_begun(of: Project) -> tuple[ColumnElement[bool], ...]:
    return item.c.project_id == of.id, item.c.part == "main", item.c.open == true(), item.c.taken == 0


def unbegun(connection: Connection, of: Project) -> dict[int, tuple[Prompt, tuple[str, ...]]]:
    """The items that nobody has begun, by number: the prompt and the answers in stored order."""
    query = select(item.c.id, item.c.completions, prompt.c.name, prompt.c.messages, prompt.c.meta)
    rows = connection.execute(query.join(prompt).where(*_not_begun(of)).order_by(item.c.id)).all()
    used = select(item.c.prompt_id).where(*_not_begun(of))
    answers = select(completion.c.id, completion.c.text).where(completion.c.prompt_id.in_(used))
    texts = {row.id: row.text for row in connection.execute(answers)}
    return {
        row.id: (
            Prompt(id=row.name, messages=messages_from_rows(row.messages), meta=row.meta),
            tuple(texts[key] for key in row.completions),
        )
        for row in rows
    }


def keep_scores(connection: Connection, scores: Mapping[int, Sequence[Sequence[float]]]) -> None:
    """Scores of reward models for items, by number: a list for each answer, one number for each model."""
    change = update(item).where(item.c.id == bindparam("which")).values(scores=bindparam("new"))
    rows = [{"which": key, "new": [list(one) for one in answers]} for key, answers in scores.items()]
    for start in range(0, len(rows), BATCH):
        connection.execute(change, rows[start : start + BATCH])


def _placed(
    of: Project, before: Mapping[int, str], worth: Mapping[int, float], rule: Rule, epoch: int
) -> list[tuple[int, float, str]]:
    """(item, place, why). The random share lies evenly among the rest, so that it is being labelled all along.

    before: by what each item was placed so far. What a random draw has for people to see keeps a random place and its
    mark. As `random` are marked those alone from which no rule has ever chosen, so that they speak for the whole.
    """
    draws = {key: share_of(of.seed, "random", key) for key in before}
    free = [key for key in before if before[key] != AUDIT and draws[key] >= of.queue.random]
    chosen = [key for key in free if worth.get(key, 0.0) > 0]
    chosen.sort(key=lambda key: (-worth[key], draws[key]))
    taken = set(chosen)
    placed = [(key, epoch + number / (len(chosen) + 1), str(rule)) for number, key in enumerate(chosen)]
    by_chance = set(before) if rule == "random" else set(before) - set(free)
    for key in (one for one in before if one not in taken):
        why = before[key] if before[key] == AUDIT or (before[key] == RANDOM and key in by_chance) else REST
        placed.append((key, epoch + share_of(of.seed, "place", key), why))
    return placed


def _worth(connection: Connection, of: Project, rows: Sequence[AnyRow], rule: Rule) -> Mapping[int, float]:
    match rule:
        case "random":
            return {}
        case "interval":
            return _interval_worth(connection, of, rows)
        case "ensemble":
            worth = {row.id: ensemble_gap(row.scores) for row in rows if row.scores}
            if not worth:
                raise InputError("no waiting item has scores of reward models: import rows with a 'scores' column")
            return worth
        case "disagreement":
            odd = _disagreement(connection, of)
            if not odd:
                raise InputError("no waiting item has a label yet: add labels of an AI judge first")
            return odd


def ensemble_gap(scores: Sequence[Sequence[float]]) -> float:
    """The largest standard deviation, over reward models, of the gap between two answers; scores[answer][model]."""
    gaps = [[a - b for a, b in zip(one, two, strict=True)] for one, two in combinations(scores, 2)]
    return max((pstdev(gap) for gap in gaps), default=0.0)


def _interval_worth(connection: Connection, of: Project, rows: Sequence[AnyRow]) -> Mapping[int, float]:
    sources = _sources(connection, of)
    wins = _battles(connection, of, sources)
    return {
        row.id: max((narrowing(wins, sources[a], sources[b]) for a, b in combinations(row.completions, 2)), default=0.0)
        for row in rows
    }


def narrowing(wins: Mapping[tuple[str, str], float], a: str, b: str) -> float:
    """By how much one more judgement narrows the standard error of how often `a` beats `b`: √(v/n) − √(v/(n+1)).

    wins[a, b]: how often a beat b, ties as halves. One imagined win each keeps v from 0 at small n.
    """
    if a == b:
        return 0.0
    won, lost = wins.get((a, b), 0.0) + 1, wins.get((b, a), 0.0) + 1
    n = won + lost
    v = won * lost / n**2
    return sqrt(v / n) - sqrt(v / (n + 1))


def _sources(connection: Connection, of: Project) -> dict[int, str]:
    used = select(item.c.prompt_id).where(item.c.project_id == of.id)
    query = select(completion.c.id, completion.c.source).where(completion.c.prompt_id.in_(used))
    return {row.id: row.source for row in connection.execute(query)}


def _judged(connection: Connection, of: Project) -> Sequence[AnyRow]:
    """Every newest judgement of the main queue: item_id, completions, value."""
    query = (
        select(assignment.c.item_id, item.c.completions, judgement.c.value)
        .join(item, item.c.id == assignment.c.item_id)
        .join(judgement, judgement.c.id == assignment.c.judgement_id)
        .where(assignment.c.project_id == of.id, assignment.c.part == "main", assignment.c.state == "done")
    )
    return connection.execute(query).all()


def _battles(connection: Connection, of: Project, sources: Mapping[int, str]) -> Mapping[tuple[str, str], float]:
    wins: dict[tuple[str, str], float] = defaultdict(float)
    for row in _judged(connection, of):
        for i, j, share in outcomes(read_answered(row.value), len(row.completions)):
            a, b = sources[row.completions[i]], sources[row.completions[j]]
            wins[a, b] += share
            wins[b, a] += 1 - share
    return wins


def outcomes(answered: Answered, answers: int) -> list[tuple[int, int, float]]:
    """Each pair of answers that was compared, as (i, j, how much i won: 1, ½ or 0)."""
    if answered.verdict == "prefer":
        return [(0, 1, 1.0 - answered.preferred)]
    if answered.verdict in ("tie", "both_good", "both_bad"):
        return [(0, 1, 0.5)]
    ranked = [(place, rank) for place, rank in enumerate(answered.ranks[:answers]) if rank is not None]
    return [(i, j, 0.5 if a == b else float(a < b)) for (i, a), (j, b) in combinations(ranked, 2)]


def _disagreement(connection: Connection, of: Project) -> Mapping[int, float]:
    said: dict[int, list[str]] = defaultdict(list)
    for row in _judged(connection, of):
        said[row.item_id].append(label_of(read_answered(row.value)))
    return {key: 1 - Counter(labels).most_common(1)[0][1] / len(labels) + 1e-9 for key, labels in said.items()}
