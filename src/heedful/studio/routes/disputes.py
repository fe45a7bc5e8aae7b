"""Second looks: a reviewer decides the items on which raters disagree."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Connection

from heedful.feedback.audit import note
from heedful.feedback.disputes import (
    decide,
    decision_sheet,
    look_through,
    next_dispute,
    order_for,
    said_of,
)
from heedful.feedback.prepared import AnyRow
from heedful.feedback.projects import Project, rater_for
from heedful.feedback.sheet import Sheet
from heedful.studio.access import House, Reviewer, project_for
from heedful.studio.render import language_of
from heedful.studio.routes.shapes import Answer, Body, Done, Turn
from heedful.studio.tasks import read_texts, shown_answers, shown_turns, warning_of

router = APIRouter(tags=["second looks"])


class Opinion(BaseModel):
    """What one rater said, in the order in which the answers stand here; who it was is not told."""

    by: Literal["person", "machine"]
    """Whether a person said it."""
    value: dict[str, Any]
    """The filled-in sheet."""


class Dispute(BaseModel):
    """An item on which raters disagree, its answers in an order drawn for this reviewer."""

    item: int
    """The item's number, which the decision names."""
    warning: str
    """As in Task."""
    language: str
    """As in Task."""
    prompt: list[Turn]
    """The conversation."""
    answers: list[Answer]
    """In an order drawn for this reviewer."""
    said: list[Opinion]
    """What each rater said, in a drawn order."""


class Disputes(BaseModel):
    """`unseen`: items that were not looked at yet; asking again goes on with them. `task`: the next one to decide."""

    sheet: Sheet
    """What the reviewer is asked: the project's sheet with a reason."""
    waiting: int
    """Items to decide."""
    decided: int
    """Items that were decided."""
    unseen: int
    """Items that were not looked at yet."""
    task: Dispute | None
    """The next one; null: none is left for the caller."""


class Decision(Body):
    """A filled-in sheet with a reason, in the order shown."""

    client_uuid: UUID
    """Drawn once for a decision, and sent again with every retry of it."""
    value: dict[str, Any]
    """The filled-in sheet, in the order shown, with its reason."""


@router.get("/projects/{project_id}/disputes")
def disputes(project_id: int, studio: House, who: Reviewer, after: int = 0) -> Disputes:
    """The next item to decide, behind the one of number `after`. Items that the caller judged are left to others."""
    with studio.store.write() as connection:
        of, rater_id = project_for(connection, who, project_id), rater_for(connection, who.account.id)
        counts = look_through(connection, of)
        row = next_dispute(connection, of, rater_id, after)
        task = _dispute(connection, of, row, rater_id) if row else None
    sheet = decision_sheet(of.sheet)
    return Disputes(sheet=sheet, waiting=counts.waiting, decided=counts.decided, unseen=counts.unseen, task=task)


def _dispute(connection: Connection, of: Project, row: AnyRow, rater_id: int) -> Dispute:
    shown = order_for(of, row, rater_id)
    asked, texts = read_texts(connection, row)
    return Dispute(
        item=row.id,
        warning=warning_of(asked.meta),
        language=(language := language_of(asked.meta)),
        prompt=shown_turns(asked.messages, language),
        answers=shown_answers([texts[place] for place in shown], of.sheet, language),
        said=[
            Opinion(
                by="person" if one.kind == "human" else "machine",
                value=one.answered.model_dump(mode="json", exclude_defaults=True),
            )
            for one in said_of(connection, row, shown)
        ],
    )


@router.post("/projects/{project_id}/items/{item_id}/decision")
def decision(project_id: int, item_id: int, body: Decision, studio: House, who: Reviewer) -> Done:
    """Decide an item. The raters' labels stay; the decision stands for them in training. Deciding anew is allowed."""
    now = studio.clock()
    with studio.store.write() as connection:
        of, rater_id = project_for(connection, who, project_id), rater_for(connection, who.account.id)
        said = decide(connection, of, item_id, rater_id, client_uuid=str(body.client_uuid), value=body.value, now=now)
        if not said.repeated:
            note(connection, now, who.account.id, "decided", f"item {item_id}", project=project_id)
    return Done()
