"""Which items a rater may get: those for whose skill the account stands, and real ones after enough training."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sqlalchemy import Connection, bindparam, select

from heedful.feedback.prepared import Prepared
from heedful.feedback.projects import Project
from heedful.feedback.tables import account, assignment, rater

_SKILLS = Prepared(
    select(account.c.skills).join(rater, rater.c.account_id == account.c.id).where(rater.c.id == bindparam("who"))
)


def skills_of(connection: Connection, rater_id: int) -> list[str]:
    """The skills of items that a rater may get: none, and those that the rater's account carries."""
    found = _SKILLS.first(connection, who=rater_id)
    return ["", *(found.skills if found else [])]


@dataclass(frozen=True, slots=True)
class Qualification:
    """Of the last training items that count, how many a rater had right at first; `held`: one is being answered."""

    right: int
    done: int
    need: int
    passed: bool
    held: bool


_TRAINED = select(assignment.c.state, assignment.c.closed_at, assignment.c.agrees).where(
    assignment.c.rater_id == bindparam("who"),
    assignment.c.project_id == bindparam("where"),
    assignment.c.state.in_(("done", "leased")),
    assignment.c.part == "training",
)


def qualification(connection: Connection, of: Project, rater_id: int) -> Qualification:
    """How far a rater is on the way to real items; the last `training` items count, so that everyone can get there."""
    rows = connection.execute(_TRAINED, {"who": rater_id, "where": of.id}).all()
    # An appeal takes an item out, and another comes in its place: else whoever appeals against each fault would be in.
    counted = [(row.closed_at, row.agrees) for row in rows if row.state == "done" and row.agrees >= 0]
    last = sorted(counted)[-of.queue.training :]
    right, need = sum(agrees for _, agrees in last), max(1, ceil(of.queue.qualify * of.queue.training - 1e-9))
    passed = len(last) == of.queue.training and right >= need
    return Qualification(right, len(last), need, passed, any(row.state == "leased" for row in rows))
