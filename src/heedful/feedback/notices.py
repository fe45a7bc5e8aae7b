"""What raters write when they skip or report an item: read and settled by whoever reviews the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, exists, func, select

from heedful.errors import InputError
from heedful.feedback.appeals import CHECKS, withdraw
from heedful.feedback.disputes import OUT, close
from heedful.feedback.prepared import AnyRow
from heedful.feedback.tables import assignment, item, notice, rater, settlement

Outcome = Literal["settled", "out"]
OPEN = ~exists().where(settlement.c.notice_id == notice.c.id).correlate(notice)


def _of(project_id: int, *columns: Any) -> Any:
    return (
        select(*columns)
        .select_from(notice)
        .join(assignment, assignment.c.id == notice.c.assignment_id)
        .join(item, item.c.id == assignment.c.item_id)
        .where(assignment.c.project_id == project_id)
    )


def open_notices(connection: Connection, project_id: int, limit: int = 50) -> Sequence[AnyRow]:
    """Those that wait, oldest first, with the item, the order in which its rater saw the answers, and the pseudonym."""
    own = (notice.c.id, notice.c.kind, notice.c.text, notice.c.at, assignment.c.shown, rater.c.name.label("rater"))
    of = (assignment.c.item_id, assignment.c.part, item.c.prompt_id, item.c.completions)
    query = _of(project_id, *own, *of).join(rater, rater.c.id == assignment.c.rater_id).where(OPEN)
    found: Sequence[AnyRow] = connection.execute(query.order_by(notice.c.id).limit(limit)).all()
    return found


def count_open(connection: Connection, project_id: int) -> int:
    return int(connection.execute(_of(project_id, func.count(notice.c.id)).where(OPEN)).scalar_one())


def settle_notice(
    connection: Connection, project_id: int, notice_id: int, account_id: int, outcome: Outcome, now: float
) -> int:
    """settled: it waits no more, and its item is asked as before. out: nobody gets the item any more, all notices on it
    are settled, and where it is a check it counts for nobody. What was said of an item stays.

    Returns the item; 0: this was done before.

    InputError: the project has no such notice, or it is settled otherwise already.
    """
    columns = (assignment.c.item_id, assignment.c.part, item.c.prompt_id, item.c.completions, settlement.c.outcome)
    query = _of(project_id, *columns).outerjoin(settlement, settlement.c.notice_id == notice.c.id)
    row = connection.execute(query.where(notice.c.id == notice_id)).first()
    if row is None:
        raise InputError(f"this project has no notice {notice_id}")
    if row.outcome == outcome:
        return 0
    if row.outcome is not None:
        raise InputError("this notice is settled already")
    which = [notice_id]
    if outcome == "out":
        items = [row.item_id]
        if row.part in CHECKS:
            items = withdraw(connection, project_id, row.part, row.prompt_id, row.completions)
        else:
            close(connection, row.item_id, OUT)
        on_it = _of(project_id, notice.c.id).where(assignment.c.item_id.in_(items), OPEN)
        which = list(connection.execute(on_it).scalars())
    made = [{"notice_id": key, "outcome": outcome, "account_id": account_id, "at": now} for key in which]
    connection.execute(settlement.insert(), made)
    return int(row.item_id)
