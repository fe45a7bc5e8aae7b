"""Appeals: a rater says what is wrong with an item that has an answer, whoever reviews the project settles it."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from heedful.feedback.appeals import Outcome, appeals_of, make_appeal, open_appeals, settle
from heedful.feedback.audit import note
from heedful.feedback.projects import rater_for
from heedful.feedback.sheet import Sheet
from heedful.studio.access import House, Labeller, Reviewer, project_for, rater_of
from heedful.studio.routes.shapes import Body, Done, OnItem
from heedful.studio.tasks import as_its_rater_saw, turned

router = APIRouter(tags=["appeals"])


class Reason(Body):
    """What is wrong with the item, or with the answer that it expects."""

    text: str = Field(min_length=1, max_length=2000)
    """In the rater's own words."""


class OwnAppeal(BaseModel):
    """One of the caller's own; `outcome` is empty while it waits."""

    id: int
    """Its number."""
    text: str
    """What the caller wrote."""
    outcome: Literal["", "stands", "wrong"]
    """`stands`: the check is right; `wrong`: it counts no more."""
    answer: str
    """What the reviewer wrote back."""


class Appeal(OnItem):
    """One that waits; what was said and expected counts the answers as they stand here."""

    said: dict[str, Any]
    """The rater's filled-in sheet."""
    expected: dict[str, Any]
    """What the check holds right."""


class Appeals(BaseModel):
    """Those that wait, at most fifty."""

    sheet: Sheet
    """What was asked."""
    waiting: list[Appeal]
    """The oldest first."""


class Settlement(Body):
    """Whether the check stands or is wrong, and a word to its rater."""

    outcome: Outcome
    """`stands`: the check is right; `wrong`: nobody gets it any more."""
    answer: str = Field("", max_length=2000)
    """What the rater reads."""


@router.post("/assignments/{assignment_id}/appeal")
def appeal(assignment_id: int, body: Reason, studio: House, who: Labeller) -> Done:
    """Say what is wrong with an item that one has answered; until it is settled, it doesn't count against the rater."""
    with studio.store.write() as connection:
        make_appeal(connection, assignment_id, rater_for(connection, who.account.id), body.text, studio.clock())
    return Done()


@router.get("/projects/{project_id}/my-appeals")
def own(project_id: int, studio: House, who: Labeller) -> list[OwnAppeal]:
    """The caller's appeals and what became of them, newest first."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        rows = appeals_of(connection, project_id, rater_id)
    return [OwnAppeal.model_validate(row, from_attributes=True) for row in rows]


@router.get("/projects/{project_id}/appeals")
def waiting(project_id: int, studio: House, who: Reviewer) -> Appeals:
    """The appeals that wait to be settled."""
    found = []
    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
        for row in open_appeals(connection, project_id):
            language, prompt, answers, shown = as_its_rater_saw(connection, of, row)
            found.append(
                Appeal(
                    id=row.id,
                    part=row.part,
                    rater=row.rater,
                    text=row.text,
                    at=row.at,
                    said=turned(row.value, shown),
                    language=language,
                    prompt=prompt,
                    answers=answers,
                    expected=turned(row.expected, shown) if row.expected else {},
                )
            )
    return Appeals(sheet=of.sheet, waiting=found)


@router.post("/projects/{project_id}/appeals/{appeal_id}")
def settled(project_id: int, appeal_id: int, body: Settlement, studio: House, who: Reviewer) -> Done:
    """Settle an appeal: the check stands, or it is wrong and nobody gets it any more."""
    with studio.store.write() as connection:
        project_for(connection, who, project_id)
        settle(connection, project_id, appeal_id, who.account.id, body.outcome, body.answer)
        note(connection, studio.clock(), who.account.id, "appeal settled", f"appeal {appeal_id}", outcome=body.outcome)
    return Done()
