"""What some items still wait for: people who may yet answer them, or nothing that will come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import item_key
from heedful.feedback.projects import Project, read_project
from heedful.feedback.tables import assignment, item, seat

FEW = 500  # open items up to which it is looked at who has had them


@dataclass(frozen=True, slots=True)
class Awaited:
    """Items that lack judgements, by number.

    waiting: a rater holds one of their places, or may. left: nobody will be asked, since the project is closed or, with
    a queue that audits only a share of what machines label, a machine's label stands. had: everybody who rates here has
    had all those that wait (has answered, skipped or reported them), so that only another rater brings them on.
    """

    waiting: frozenset[int]
    left: frozenset[int]
    closed: bool
    had: bool


def item_numbers(connection: Connection, of: Project, items: Iterable[NewItem]) -> list[int]:
    """The numbers of items that are there, in order."""
    query = select(item.c.id).where(item.c.project_id == of.id)
    keys = (item_key(connection, of, new) for new in items)
    return [int(connection.execute(query.where(item.c.key == key)).scalar_one()) for key in keys]


def awaited(connection: Connection, of: Project, items: Collection[int]) -> Awaited:
    """What these items of a project wait for."""
    closed = not read_project(connection, of.id).open
    columns = (item.c.id, item.c.open, item.c.taken, item.c.target)
    lacking = select(*columns).where(item.c.project_id == of.id, item.c.part == "main", item.c.done < item.c.target)
    rows = [row for row in connection.execute(lacking) if row.id in items]
    waiting = frozenset(row.id for row in rows if not closed and (row.open or row.taken >= row.target))
    return Awaited(waiting, frozenset(row.id for row in rows) - waiting, closed, _had(connection, of, waiting))


def _had(connection: Connection, of: Project, items: Collection[int]) -> bool:
    """Whether all who rate in a project have had all these items, and none of them holds one."""
    if not 0 < len(items) <= FEW:
        return False
    here = select(seat.c.rater_id).where(seat.c.project_id == of.id, seat.c.part == "main")
    raters = int(connection.execute(select(func.count()).select_from(here.subquery())).scalar_one())
    query = select(assignment.c.item_id, assignment.c.state).where(
        assignment.c.item_id.in_(items), assignment.c.rater_id.in_(here)
    )
    had: Counter[int] = Counter()
    for number, state in connection.execute(query):
        if state == "leased":
            return False
        had[number] += state != "expired"  # who let a lease run out is asked again
    return raters > 0 and all(had[number] >= raters for number in items)
