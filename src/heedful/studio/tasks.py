"""An assignment as its rater may see it: the prompt and the answers in the order drawn, nothing of their sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from heedful.feedback.prepared import AnyRow, Prepared
from heedful.feedback.projects import Project
from heedful.feedback.queue import rounds_of
from heedful.feedback.sheet import Sheet, in_shown_order, read_answered, steps_of
from heedful.feedback.submit import order_seen
from heedful.feedback.tables import assignment, completion, draft, item, judgement, prompt, rater
from heedful.studio.render import direction, language_of, tree
from heedful.studio.routes.shapes import Answer, Task, Turn

_HELD = Prepared(
    select(
        assignment.c.id, assignment.c.state, assignment.c.shown, assignment.c.expires_at, assignment.c.part,
        assignment.c.item_id, item.c.prompt_id, item.c.completions, prompt.c.messages, prompt.c.meta,
        draft.c.value.label("draft"), judgement.c.value.label("judged"),
    )
    .join(item, item.c.id == assignment.c.item_id)
    .join(prompt, prompt.c.id == item.c.prompt_id)
    .outerjoin(draft, draft.c.assignment_id == assignment.c.id)
    .outerjoin(judgement, judgement.c.id == assignment.c.judgement_id)
    .where(assignment.c.id == bindparam("which"))
)  # fmt: skip
_TEXT = Prepared(select(completion.c.text).where(completion.c.id == bindparam("which")))


@dataclass(frozen=True, slots=True)
class Held:
    """Assignments as the database has them: their rows, their answers' texts, and what machines said of each."""

    rows: list[AnyRow]
    texts: Mapping[int, str]
    suggestions: Mapping[int, list[dict[str, Any]]]


def read_held(connection: Connection, of: Project, keys: Sequence[int]) -> Held:
    """These assignments, in the order given."""
    rows = [row for key in keys if (row := _HELD.first(connection, which=key))]
    texts = _texts(connection, {key for row in rows for key in row.completions})
    shown = of.queue.suggestions == "shown"
    return Held(rows, texts, {row.id: _suggestions(connection, of, row) for row in rows} if shown else {})


def _texts(connection: Connection, keys: Iterable[int]) -> dict[int, str]:
    return {key: row.text for key in keys if (row := _TEXT.first(connection, which=key))}


def tasks_of(held: Held, of: Project, now: float) -> list[Task]:
    """What their rater may see of them."""
    return [_task(row, held.texts, of, held.suggestions.get(row.id, []), now) for row in held.rows]


def read_tasks(connection: Connection, of: Project, keys: Sequence[int], now: float) -> list[Task]:
    """The tasks of these assignments, in the order given."""
    return tasks_of(read_held(connection, of, keys), of, now)


def _task(row: AnyRow, texts: Mapping[int, str], of: Project, suggestions: list[dict[str, Any]], now: float) -> Task:
    shown = order_seen(row.shown, len(row.completions))
    answers = [texts[row.completions[place]] for place in shown]
    return Task(
        assignment=row.id,
        state=row.state,
        seconds_left=max(0.0, row.expires_at - now),
        training=row.part == "training",
        warning=warning_of(row.meta),
        language=(language := language_of(row.meta)),
        prompt=shown_turns(row.messages, language),
        answers=shown_answers(answers, of.sheet, language),
        filled_in=_filled_in(row),
        suggestions=suggestions,
    )


def warning_of(meta: Mapping[str, Any]) -> str:
    """What the column `warning` says of a prompt and its answers; `yes`: a bare yes, which the page puts into words."""
    said = str(meta.get("warning") or "").strip()
    if said.lower() in ("", "false", "no", "0"):
        return ""
    return "yes" if said.lower() in ("true", "yes", "1") else said


def shown_turns(messages: Sequence[dict[str, str]], language: str) -> list[Turn]:
    """A prompt as a page shows it."""
    return [
        Turn(role=m["role"], tree=tree(m["content"]), text=m["content"], direction=direction(m["content"], language))
        for m in messages
    ]


def shown_answers(texts: Sequence[str], sheet: Sheet, language: str) -> list[Answer]:
    """Answers as a page shows them, in the order given."""
    return [
        Answer(
            tree=tree(text),
            text=text,
            direction=direction(text, language),
            steps=[tree(step) for step in steps_of(text)] if sheet.steps else [],
        )
        for text in texts
    ]


def read_texts(connection: Connection, row: AnyRow) -> tuple[AnyRow, list[str]]:
    """The prompt's messages and meta, and the answers of an item in stored order."""
    asked = connection.execute(select(prompt.c.messages, prompt.c.meta).where(prompt.c.id == row.prompt_id)).one()
    texts = _texts(connection, row.completions)
    return asked, [texts[key] for key in row.completions]


def as_its_rater_saw(
    connection: Connection, of: Project, row: AnyRow
) -> tuple[str, list[Turn], list[Answer], tuple[int, ...]]:
    """The language of an assignment's item, its prompt, its answers in the order that was drawn, and that order."""
    asked, texts = read_texts(connection, row)
    shown, language = order_seen(row.shown, len(texts)), language_of(asked.meta)
    answers = shown_answers([texts[place] for place in shown], of.sheet, language)
    return language, shown_turns(asked.messages, language), answers, shown


def _filled_in(row: AnyRow) -> dict[str, Any]:
    """The draft, else the newest judgement turned to the order shown."""
    if row.draft:
        return dict(row.draft)
    if not row.judged:
        return {}
    return turned(row.judged, order_seen(row.shown, len(row.completions)))


def turned(value: Mapping[str, Any], shown: tuple[int, ...]) -> dict[str, Any]:
    """What was said, from the stored order to the order shown."""
    return in_shown_order(read_answered(value), shown).model_dump(mode="json", exclude_defaults=True)


def _suggestions(connection: Connection, of: Project, row: AnyRow) -> list[dict[str, Any]]:
    """What machines said of the item, in the order shown to this rater; of a probe in whichever of its rounds."""
    same = [row.item_id]
    if row.part == "probe":
        same = rounds_of(connection, of.id, row.part, row.prompt_id, row.completions)
    query = (
        select(assignment.c.rater_id, judgement.c.value)
        .join(assignment, assignment.c.judgement_id == judgement.c.id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.item_id.in_(same), rater.c.kind == "ai")
        .order_by(judgement.c.id)
    )
    seen = order_seen(row.shown, len(row.completions))
    said = {judge: read_answered(value) for judge, value in connection.execute(query)}  # of each judge once
    return [
        in_shown_order(one, seen).model_dump(mode="json", exclude_defaults=True, exclude={"reason"})
        for one in said.values()
    ]
