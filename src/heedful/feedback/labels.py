"""What the database holds, as records: rankings and demonstrations to train on, and the raw log of every judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy import Connection, select

from heedful.errors import InputError
from heedful.feedback.projects import Project
from heedful.feedback.sheet import Answered, read_answered
from heedful.feedback.tables import assignment, completion, item, judgement, prompt, rater
from heedful.records import Demonstration, Prompt, Ranking, messages_from_rows, to_row

PAGE = 2000
SCHEMA = 1  # of the raw log


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One newest judgement with all that belongs to it. `shown` lists stored places in the order of the screen."""

    judgement: int
    revision: int
    prompt: Prompt
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    answered: Answered
    rater: str
    rater_kind: Any
    shown: tuple[int, ...]
    part: str
    chosen_by: str
    item: int
    seconds: float
    late: bool
    at: float


def read_labels(
    connection: Connection, of: Project, *, parts: tuple[str, ...] = ("main", "chat"), after: int = 0
) -> Iterator[Label]:
    """Every newest judgement in the order in which they came, those after a judgement's number alone."""
    while rows := connection.execute(_query(of, parts, after)).all():
        texts = _texts(connection, {key for row in rows for key in row.completions})
        for row in rows:
            yield _label(row, texts)
        after = rows[-1].id


def _query(of: Project, parts: tuple[str, ...], after: int) -> Any:
    return (
        select(
            judgement.c.id, judgement.c.revision, judgement.c.value, judgement.c.seconds, judgement.c.created_at,
            assignment.c.item_id, assignment.c.shown, assignment.c.part, assignment.c.late, item.c.completions,
            item.c.chosen_by, rater.c.name.label("rater"), rater.c.kind,
            prompt.c.name, prompt.c.messages, prompt.c.meta,
        )
        .join(assignment, assignment.c.judgement_id == judgement.c.id)
        .join(item, item.c.id == assignment.c.item_id)
        .join(prompt, prompt.c.id == item.c.prompt_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.project_id == of.id, assignment.c.part.in_(parts), judgement.c.id > after)
        .order_by(judgement.c.id)
        .limit(PAGE)
    )  # fmt: skip


def _texts(connection: Connection, keys: set[int]) -> Mapping[int, tuple[str, str]]:
    query = select(completion.c.id, completion.c.text, completion.c.source).where(completion.c.id.in_(keys))
    return {number: (text, source) for number, text, source in connection.execute(query)}


def _label(row: Any, texts: Mapping[int, tuple[str, str]]) -> Label:
    answers = [texts[key] for key in row.completions]
    return Label(
        judgement=row.id,
        revision=row.revision,
        prompt=Prompt(id=row.name, messages=messages_from_rows(row.messages), meta=row.meta),
        texts=tuple(text for text, _ in answers),
        sources=tuple(source for _, source in answers),
        answered=read_answered(row.value),
        rater=row.rater,
        rater_kind=row.kind,
        shown=tuple(row.shown),
        part=row.part,
        chosen_by=row.chosen_by,
        item=row.item_id,
        seconds=row.seconds,
        late=row.late,
        at=row.created_at,
    )


def rankings_of(label: Label) -> list[Ranking]:
    """A judgement as rankings; none where nothing was compared. An edited answer stands above all others.

    Answers left unranked are left out. The margin is the strength that the rater gave.
    """
    ranked = _ranked(label.answered)
    found = [_ranking(label, label.texts, label.sources, ranked)] if len(ranked) > 1 else []
    edited = label.answered.edited
    if not edited.strip() or edited in label.texts:
        return found
    if len(ranked) > 1:  # edited > chosen > rejected (Llama 3, 2407.21783, § 4.2.1)
        above = {0: 0} | {place + 1: rank + 1 for place, rank in ranked.items()}
    else:
        above = {0: 0, max(0, label.answered.edited_from) + 1: 1}
    return [_ranking(label, (edited, *label.texts), ("edited", *label.sources), above)]


def _ranked(answered: Answered) -> dict[int, int]:
    """place -> rank, of the answers that were compared."""
    match answered.verdict:
        case "prefer":
            return {answered.preferred: 0, 1 - answered.preferred: 1}
        case "tie" | "both_good" | "both_bad":
            return {0: 0, 1: 0}
        case "cant_judge":
            return {}
    return {place: rank for place, rank in enumerate(answered.ranks) if rank is not None}


def _ranking(label: Label, texts: tuple[str, ...], sources: tuple[str, ...], ranks: dict[int, int]) -> Ranking:
    places = sorted(ranks)
    strong = label.answered.verdict == "prefer" and len(places) == 2
    margins = tuple(float(label.answered.strength) for _ in combinations(places, 2)) if strong else ()
    return Ranking(
        prompt=label.prompt,
        completions=tuple(texts[place] for place in places),
        ranks=tuple(ranks[place] for place in places),
        rater=label.rater,
        rater_kind=label.rater_kind,
        sources=tuple(sources[place] for place in places),
        margins=margins,
    )


def demonstration_of(label: Label) -> list[Demonstration]:
    """The answer that a rater wrote, if one did."""
    text = label.answered.edited.strip()
    return [Demonstration(prompt=label.prompt, completion=text)] if text else []


def rows_of(
    connection: Connection, of: Project, kind: str, *, raters: str = "all", parts: tuple[str, ...] = ("main", "chat")
) -> Iterator[dict[str, Any]]:
    """Rows to write as JSON lines. kind: rankings, demonstrations or raw. raters: all, or one kind of them."""
    for label in read_labels(connection, of, parts=parts):
        if raters not in ("all", label.rater_kind):
            continue
        match kind:
            case "rankings":
                yield from map(to_row, rankings_of(label))
            case "demonstrations":
                yield from map(to_row, demonstration_of(label))
            case "raw":
                yield raw_row(label)
            case _:
                raise InputError(f"'{kind}' can't be exported: choose rankings, demonstrations or raw")


def raw_row(label: Label) -> dict[str, Any]:
    """One line of the raw log: all that is known of a judgement."""
    return {
        "schema": SCHEMA,
        "judgement": label.judgement,
        "revision": label.revision,
        "item": label.item,
        "part": label.part,
        "chosen_by": label.chosen_by,
        "id": label.prompt.id,
        "prompt": [{"role": m.role, "content": m.content} for m in label.prompt.messages],
        "meta": dict(label.prompt.meta),
        "completions": list(label.texts),
        "sources": list(label.sources),
        "shown": list(label.shown),
        "rater": label.rater,
        "rater_kind": label.rater_kind,
        "value": label.answered.model_dump(mode="json", exclude_defaults=True),
        "seconds": round(label.seconds, 3),
        "late": label.late,
        "at": label.at,
    }
