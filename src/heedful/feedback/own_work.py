"""What raters may read of their own work.

Nothing here tells a hidden check from any other item: only what they are told at once, how training items went, is
counted as right or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, and_, case, func, select

from heedful.feedback.judgements import DECISION
from heedful.feedback.tables import assignment, judgement, project

WEEK = 7 * 86400.0


class OwnWork(BaseModel):
    """One project: so many `items` answered, `week` of them within seven days, and `changed` of them anew.

    `seconds` at work, changes included, and the `median` of an item. By the first answer, `training_right` of
    `training` training items.
    """

    project: int
    """The project's number."""
    name: str
    """The project's name."""
    items: int
    """Answered."""
    week: int
    """Of them within seven days."""
    seconds: float
    """At work, changes included."""
    median: float
    """Seconds of an item."""
    changed: int
    """Items answered anew."""
    skipped: int
    """Items left to others."""
    reported: int
    """Items told to be wrong."""
    training: int
    """Training items answered."""
    training_right: int
    """Of them right, by the first answer."""


def own_work(connection: Connection, rater_id: int, now: float) -> list[OwnWork]:
    """Of each project in which the rater has dealt with an item, the newest project first."""
    times = _times(connection, rater_id)
    return [
        OwnWork(
            project=row.id,
            name=row.name,
            items=row.done,
            week=row.week,
            seconds=sum(seconds for seconds, _ in times.get(row.id, [])),
            median=median([seconds for seconds, _ in times.get(row.id, [])] or [0.0]),
            changed=sum(revisions > 1 for _, revisions in times.get(row.id, [])),
            skipped=row.skipped,
            reported=row.reported,
            training=row.training,
            training_right=row.training_right,
        )
        for row in connection.execute(_counts(rater_id, now))
        if row.done + row.skipped + row.reported
    ]


def _counts(rater_id: int, now: float) -> Any:
    def number(name: str, *where: Any) -> Any:
        return func.sum(case((and_(*where), 1), else_=0)).label(name)

    done, trained = assignment.c.state == "done", (assignment.c.part == "training", assignment.c.agrees >= 0)
    columns = (
        number("done", done),
        number("week", done, assignment.c.closed_at >= now - WEEK),
        number("skipped", assignment.c.state == "skipped"),
        number("reported", assignment.c.state == "reported"),
        number("training", done, *trained),
        number("training_right", done, *trained, assignment.c.agrees == 1),
    )
    query = select(project.c.id, project.c.name, *columns).join(assignment, assignment.c.project_id == project.c.id)
    return query.where(*_own(rater_id)).group_by(project.c.id, project.c.name).order_by(project.c.id.desc())


def _own(rater_id: int) -> tuple[Any, ...]:
    return (assignment.c.rater_id == rater_id, assignment.c.part != DECISION)


def _times(connection: Connection, rater_id: int) -> Mapping[int, list[tuple[float, int]]]:
    """Of each project: for each item answered, the seconds of all its revisions, and how many there are."""
    columns = (func.sum(judgement.c.seconds).label("seconds"), func.max(judgement.c.revision).label("revisions"))
    query = select(assignment.c.project_id, *columns).join(judgement, judgement.c.assignment_id == assignment.c.id)
    found: dict[int, list[tuple[float, int]]] = {}
    for row in connection.execute(
        query.where(*_own(rater_id), assignment.c.state == "done").group_by(assignment.c.project_id, assignment.c.id)
    ):
        found.setdefault(row.project_id, []).append((float(row.seconds), int(row.revisions)))
    return found
