"""What the database holds, as judgements: the labels that stand, and all that raters ever did."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from heedful.feedback.exports.pairs import LeftOut, with_edit
from heedful.feedback.exports.rows import ExportFormat, export_rows
from heedful.feedback.judgements import DECISION, Judgement
from heedful.feedback.leaks import NAMED, leaking
from heedful.feedback.projects import Project
from heedful.feedback.tables import assignment, completion, item, notice, prompt, rater
from heedful.feedback.tables import judgement as judged
from heedful.feedback.talk import talks_of
from heedful.records import Prompt, Ranking, Row, messages_from_rows

PAGE = 2000
LABELS, CHECKS = ("main", "chat"), ("gold", "training", "probe")  # parts


def read_labels(
    connection: Connection, of: Project, *, parts: tuple[str, ...] = LABELS, after: int = 0, every: bool = False
) -> Iterator[Judgement]:
    """Every newest judgement in the order in which they came, those after a judgement's number alone.

    every: earlier revisions too.
    """
    while rows := connection.execute(_query(of, parts, after, every)).all():
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


def put_aside(connection: Connection, of: Project, parts: tuple[str, ...] = LABELS) -> Iterator[Judgement]:
    """What raters skipped or reported, with the reason where they gave one."""
    why = select(notice.c.text).where(notice.c.assignment_id == assignment.c.id, notice.c.kind == assignment.c.state)
    newest = why.order_by(notice.c.id.desc()).limit(1).scalar_subquery()
    query = (
        _joined(
            select(assignment.c.id, assignment.c.state, assignment.c.closed_at, newest.label("reason"), *_HELD, *_ASKED)
        )
        .where(assignment.c.project_id == of.id, assignment.c.part.in_(parts))
        .where(assignment.c.state.in_(("skipped", "reported")))
        .order_by(assignment.c.id)
        .limit(PAGE)
    )
    after = 0
    while rows := connection.execute(query.where(assignment.c.id > after)).all():
        texts = _texts(connection, {key for row in rows for key in row.completions})
        for row in rows:
            value = {"verdict": "none"} | ({"reason": row.reason} if row.reason else {})
            yield Judgement(value=value, state=row.state, at=row.closed_at, **_about(row, texts, {}))
        after = rows[-1].id


_HELD = (assignment.c.item_id, assignment.c.shown, assignment.c.part, assignment.c.late)
_ASKED = (
    item.c.completions, item.c.chosen_by, item.c.expected, rater.c.name.label("rater"), rater.c.kind,
    prompt.c.name, prompt.c.messages, prompt.c.meta,
)  # fmt: skip


def _joined(query: Any) -> Any:
    """An assignment with its item, its prompt and its rater."""
    return (
        query.join(item, item.c.id == assignment.c.item_id)
        .join(prompt, prompt.c.id == item.c.prompt_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
    )


def _query(of: Project, parts: tuple[str, ...], after: int, every: bool) -> Any:
    standing = assignment.c.judgement_id == judged.c.id
    return (
        _joined(
            select(
                judged.c.id, judged.c.revision, judged.c.value, judged.c.seconds, judged.c.created_at, judged.c.weight,
                judged.c.draws, judged.c.assignment_id, assignment.c.judgement_id, *_HELD, *_ASKED,
            ).join(assignment, assignment.c.id == judged.c.assignment_id if every else standing)
        )
        .where(assignment.c.project_id == of.id, assignment.c.part.in_(parts), judged.c.id > after)
        .order_by(judged.c.id)
        .limit(PAGE)
    )  # fmt: skip


def _texts(connection: Connection, keys: set[int]) -> Mapping[int, tuple[str, str]]:
    query = select(completion.c.id, completion.c.text, completion.c.source).where(completion.c.id.in_(keys))
    return {number: (text, source) for number, text, source in connection.execute(query)}


def _judgement(row: Any, texts: Mapping[int, tuple[str, str]], talk: Mapping[str, Any]) -> Judgement:
    return Judgement(
        value=row.value,
        weight=row.weight,
        expected=row.expected,
        draws=tuple(row.draws),
        judgement=row.id,
        revision=row.revision,
        state="" if row.id == row.judgement_id else "superseded",
        seconds=row.seconds,
        at=row.created_at,
        **_about(row, texts, talk),
    )


def _about(row: Any, texts: Mapping[int, tuple[str, str]], talk: Mapping[str, Any]) -> dict[str, Any]:
    """Who was asked what, and how it was shown."""
    answers = [texts[key] for key in row.completions]
    return {
        "prompt": Prompt(id=row.name, messages=messages_from_rows(row.messages), meta={**row.meta, **talk}),
        "completions": tuple(text for text, _ in answers),
        "sources": tuple(source for _, source in answers),
        "rater": row.rater,
        "rater_kind": row.kind,
        "shown": tuple(row.shown),
        "item": row.item_id,
        "part": row.part,
        "chosen_by": row.chosen_by,
        "late": row.late,
    }


def rankings_of(judgement: Judgement) -> list[Ranking]:
    """What was compared, as one ranking; none where nothing was."""
    ranking = with_edit(judgement).ranking()
    return [ranking] if ranking else []


def newest(connection: Connection, of: Project, most: int) -> list[Judgement]:
    """The last judgements of a project, at most so many."""
    mine = (assignment.c.project_id == of.id, assignment.c.judgement_id.is_not(None))
    ids = select(assignment.c.judgement_id).where(*mine).order_by(assignment.c.judgement_id.desc())
    before = connection.execute(ids.offset(most).limit(1)).scalar()
    return list(read_labels(connection, of, after=int(before or 0)))


def newest_number(connection: Connection, of: Project) -> int:
    """The number of a project's last judgement: they are only ever added, so it tells what there was."""
    query = select(func.max(judged.c.id)).join(assignment, assignment.c.id == judged.c.assignment_id)
    return int(connection.execute(query.where(assignment.c.project_id == of.id)).scalar() or 0)


def labels_for(
    connection: Connection,
    of: Project,
    format: ExportFormat,
    rule: str = "each",
    raters: Collection[str] = (),
    parts: tuple[str, ...] = LABELS,
) -> Iterator[Judgement]:
    """What an export begins with. A decision stands for the labels of its item; the raw log holds all that was done.

    rule: another than `each` weighs votes and decisions itself. raters: the kinds asked for; none are all. What
    machines say is asked for as they said it.
    """
    if format is ExportFormat.RAW and rule == "each":
        yield from read_labels(connection, of, parts=(*parts, DECISION), every=True)
        yield from put_aside(connection, of, parts)
    elif rule != "each" or (raters and "human" not in raters):
        yield from read_labels(connection, of, parts=(*parts, DECISION))
    else:
        yield from standing_labels(connection, of, parts)


def rows_of(
    connection: Connection,
    of: Project,
    format: ExportFormat,
    *,
    raters: str = "all",
    parts: tuple[str, ...] = LABELS,
    without_leaks: bool = False,
) -> Iterator[Row | LeftOut]:
    """Rows to write as JSON lines, with a LeftOut in the place of what has none in a format (a tie, say).

    raters: all, or one kind of them. without_leaks: labels that an answer's telling who wrote it may have moved are
    left out.
    """
    kinds = () if raters == "all" else (raters,)
    for judgement in labels_for(connection, of, format, raters=kinds, parts=parts):
        if kinds and judgement.rater_kind not in kinds:
            continue
        if without_leaks and leaking(judgement):
            yield LeftOut(NAMED)
            continue
        yield from export_rows(judgement, format)
