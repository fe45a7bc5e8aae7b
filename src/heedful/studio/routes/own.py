"""What a rater may read of their own work, over all projects."""

from __future__ import annotations

from fastapi import APIRouter

from heedful.feedback.appeals import appeals_of
from heedful.feedback.own_work import OwnWork, own_work
from heedful.studio.access import House, Labeller, rater_of
from heedful.studio.routes.appeals import OwnAppeal

router = APIRouter(tags=["labelling"])


class OwnProject(OwnWork):
    """With the caller's newest appeals there."""

    appeals: list[OwnAppeal]
    """The caller's newest there."""


@router.get("/me/work")
def work(studio: House, who: Labeller) -> list[OwnProject]:
    """What the caller has done. Nothing here tells a hidden check from any other item."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        return [
            OwnProject(
                **one.model_dump(),
                appeals=[
                    OwnAppeal.model_validate(row, from_attributes=True)
                    for row in appeals_of(connection, one.project, rater_id)
                ],
            )
            for one in own_work(connection, rater_id, studio.clock())
        ]
