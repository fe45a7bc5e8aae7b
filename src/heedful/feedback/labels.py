"""What the database holds, as records: rankings and demonstrations to train on, and the raw log of every judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from heedful.errors import InputError
from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat, export_rows
from heedful.feedback.judgements import DECISION, Judgement
from heedful.feedback.leaks import NAMED, leaking
from heedful.feedback.projects import Project
from heedful.feedback.tables import assignment, completion, item, prompt, rater
from heedful.feedback.tables import judgement as judged
from heedful.feedback.talk import talks_of
from heedful.records import Demonstration, Prompt, Ranking, Row, messages_from_rows, to_row

PAGE = 2000
LABELS, CHECKS = ("main", "chat"), ("gold", "training", "probe")  # parts
KINDS = ("demonstrations", *ExportFormat)


def read_labels(
    connection: Connection, of: Project, *, parts: tuple[str, ...] = LABELS, after: int = 0
) -> Iterator[Judgement]:
    """Every newest judgement in the order in which they came, those after a judgement's number alone."""
    while rows := connection.execute(_query(of, parts, after)).all():
        texts = _texts(connection, {key for row in rows for key in row.completions})
        chats = [row.assignment_id for row in rows if row.part == "chat"]
        talks = talks_of(connection, chats) if chats else {}
        for row in rows:
            yield _judgement(row, texts, talks.get(row.assignment_id, {}))
        after = rows[-1].id


def standing_labels(connection: Connection, of: Project, parts: tuple[str, ...] = LABELS) -> Iterator[Judgement]:
    """The labels to train on: of an item that a reviewer decided the newest decision alone, of others every label."""
    decided = {label.item: label for label in read_labels(connection, of, parts=(DECISION,))}
    yield from (label for label in read_labels(connection, of, parts=parts) if label.item not in decided)
    yield from decided.values()


def _query(of: Project, parts: tuple[str, ...], after: int) -> Any:
    return (
        select(
            judged.c.id, judged.c.revision, judged.c.value, judged.c.seconds, judged.c.created_at, judged.c.weight,
            judged.c.draws,
            judged.c.assignment_id, assignment.c.item_id, assignment.c.shown, assignment.c.part, assignment.c.late,
            item.c.completions, item.c.chosen_by, item.c.expected, rater.c.name.label("rater"), rater.c.kind,
            prompt.c.name, prompt.c.messages, prompt.c.meta,
        )
        .join(assignment, assignment.c.judgement_id == judged.c.id)
        .join(item, item.c.id == assignment.c.item_id)
        .join(prompt, prompt.c.id == item.c.prompt_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.project_id == of.id, assignment.c.part.in_(parts), judged.c.id > after)
        .order_by(judged.c.id)
        .limit(PAGE)
    )  # fmt: skip


def _texts(connection: Connection, keys: set[int]) -> Mapping[int, tuple[str, str]]:
    query = select(completion.c.id, completion.c.text, completion.c.source).where(completion.c.id.in_(keys))
    return {number: (text, source) for number, text, source in connection.execute(query)}


def _judgement(row: Any, texts: Mapping[int, tuple[str, str]], talk: Mapping[str, Any]) -> Judgement:
    answers = [texts[key] for key in row.completions]
    return Judgement(
        prompt=Prompt(id=row.name, messages=messages_from_rows(row.messages), meta={**row.meta, **talk}),
        completions=tuple(text for text, _ in answers),
        value=row.value,
        weight=row.weight,
        expected=row.expected,
        draws=tuple(row.draws),
        rater=row.rater,
        rater_kind=row.kind,
        sources=tuple(source for _, source in answers),
        shown=tuple(row.shown),
        judgement=row.id,
        revision=row.revision,
        item=row.item_id,
        part=row.part,
        chosen_by=row.chosen_by,
        seconds=row.seconds,
        late=row.late,
        at=row.created_at,
    )


def with_edit(judgement: Judgement) -> Judgement:
    """The judgement with the answer that its rater wrote, if one did, ranked above all others.

    edited > chosen > rejected (Llama 3, 2407.21783, section 4.2.1).
    """
    edited = str(judgement.value.get("edited", ""))
    if not edited.strip() or edited in judgement.completions:
        return judgement
    ranks: list[int | None] = [None] * len(judgement.completions)
    if not judgement.ranks:  # nothing was compared: it beats the answer that it was made from
        ranks[max(0, int(judgement.value.get("edited_from", 0)))] = 1
    for place, rank in judgement.ranks.items():
        ranks[place] = rank + 1
    return replace(
        judgement,
        completions=(edited, *judgement.completions),
        sources=("edited", *judgement.sources),
        shown=(),
        value={"ranks": [0, *ranks]} | judgement.presorted,
    )


def rankings_of(judgement: Judgement) -> list[Ranking]:
    """What was compared, as one ranking; none where nothing was."""
    ranking = with_edit(judgement).ranking()
    return [ranking] if ranking else []


def demonstration_of(judgement: Judgement) -> list[Demonstration]:
    """The answer that a rater wrote, if one did."""
    text = str(judgement.value.get("edited", "")).strip()
    return [Demonstration(prompt=judgement.prompt, completion=text)] if text else []


def newest(connection: Connection, of: Project, most: int) -> list[Judgement]:
    """The last judgements of a project, at most so many."""
    mine = (assignment.c.project_id == of.id, assignment.c.judgement_id.is_not(None))
    ids = select(assignment.c.judgement_id).where(*mine).order_by(assignment.c.judgement_id.desc())
    before = connection.execute(ids.offset(most).limit(1)).scalar()
    return list(read_labels(connection, of, after=int(before or 0)))


def rows_of(
    connection: Connection,
    of: Project,
    kind: str,
    *,
    raters: str = "all",
    parts: tuple[str, ...] = LABELS,
    without_leaks: bool = False,
) -> Iterator[Row | LeftOut]:
    """Rows to write as JSON lines, with a LeftOut in the place of what has none in a format (a tie, say).

    The raw log holds every label, decisions too; elsewhere a decision stands for the labels of its item.
    kind: demonstrations, or one of the ExportFormats. raters: all, or one kind of them. without_leaks: labels that an
    answer's telling who wrote it may have moved are left out. InputError: no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"'{kind}' can't be exported: choose one of {', '.join(KINDS)}")
    raw = kind == ExportFormat.RAW
    if raw or raters not in ("all", "human"):  # what machines say is asked for as they said it
        labels = read_labels(connection, of, parts=(*parts, DECISION))
    else:
        labels = standing_labels(connection, of, parts)
    for judgement in labels:
        if raters not in ("all", judgement.rater_kind):
            continue
        if without_leaks and leaking(judgement):
            yield LeftOut(NAMED)
            continue
        if kind == "demonstrations":
            yield from map(to_row, demonstration_of(judgement))
            continue
        exact = judgement if raw else with_edit(judgement)
        yield from export_rows(exact, ExportFormat(kind))
