"""Notices: what raters wrote on items that they skipped or reported, for whoever reviews the project."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from heedful.feedback.audit import note
from heedful.feedback.notices import Outcome, count_open, open_notices, settle_notice
from heedful.studio.access import House, Reviewer, project_for
from heedful.studio.routes.shapes import Body, Done, OnItem
from heedful.studio.tasks import as_its_rater_saw

router = APIRouter(tags=["notices"])


class Notice(OnItem):
    """One that waits."""

    kind: Literal["reported", "skipped"]
    """What the rater did with the item."""
    item: int
    """The item's number."""


class Notices(BaseModel):
    """How many wait, and the oldest fifty of them."""

    count: int
    """All that wait."""
    waiting: list[Notice]
    """The oldest of them."""


class Settlement(Body):
    """`settled`: it waits no more. `out`: nobody gets the item any more."""

    outcome: Outcome
    """What becomes of it."""


@router.get("/projects/{project_id}/notices")
def waiting(project_id: int, studio: House, who: Reviewer) -> Notices:
    """What raters wrote on skipped and reported items, and nobody has settled yet."""
    found = []
    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
        count = count_open(connection, project_id)
        for row in open_notices(connection, project_id):
            language, prompt, answers, _ = as_its_rater_saw(connection, of, row)
            found.append(
                Notice(
                    id=row.id,
                    kind=row.kind,
                    item=row.item_id,
                    part=row.part,
                    rater=row.rater,
                    text=row.text,
                    at=row.at,
                    language=language,
                    prompt=prompt,
                    answers=answers,
                )
            )
    return Notices(count=count, waiting=found)


@router.post("/projects/{project_id}/notices/{notice_id}")
def settled(project_id: int, notice_id: int, body: Settlement, studio: House, who: Reviewer) -> Done:
    """Put a notice away, or take its item out: nobody gets it any more, and what was said of it stays."""
    now = studio.clock()
    with studio.store.write() as connection:
        project_for(connection, who, project_id)
        on = settle_notice(connection, project_id, notice_id, who.account.id, body.outcome, now)
        if on:
            said = {"outcome": body.outcome, "notice": notice_id}
            note(connection, now, who.account.id, "notice settled", f"item {on}", **said)
    return Done()
