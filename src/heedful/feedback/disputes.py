"""Items on which raters disagree to the end, and what a reviewer decides about them.

A decision is a label of its own kind (part `decision`): the raters' labels stay as they are, it stands for them where
labels are trained on, and it is no vote, since whoever made it could see what the others had said.

Whether an item is in dispute is found when somebody asks, and kept until another label comes: so submitting an answer
costs nothing for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, or_, select, update

from heedful.errors import InputError
from heedful.feedback.judgements import DECISION
from heedful.feedback.prepared import AnyRow
from heedful.feedback.projects import OPEN, Project, carries
from heedful.feedback.queue import CLOSED, hold, order_of
from heedful.feedback.sheet import Answered, Sheet, in_shown_order, read_answered
from heedful.feedback.submit import Submitted, label_of, settled, submit
from heedful.feedback.tables import DISPUTES, account, assignment, item, judgement, member, rater

UNKNOWN, NONE, _, DECIDED, OUT = DISPUTES
SLICE = 200  # items that are looked at together, while raters wait


@dataclass(frozen=True, slots=True)
class Disputes:
    """How many items wait for a decision, have one, and were not looked at yet."""

    waiting: int
    decided: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Said:
    """What one rater said, in the order shown to whoever looks; by whom is told as a kind alone."""

    kind: str
    answered: Answered


def look_through(connection: Connection, of: Project, seconds: float = 0.2) -> Disputes:
    """Find out which items are in dispute among those that have all their labels, for at most about so long."""
    end = time.monotonic() + seconds
    while rows := connection.execute(_unseen(of).limit(SLICE)).scalars().all():
        said = _labels(connection, rows)
        odd = [key for key in rows if _disputed(said.get(key, []))]
        for state, keys in ((OPEN, odd), (NONE, sorted(set(rows) - set(odd)))):
            connection.execute(update(item).where(item.c.id.in_(keys)).values(dispute=state))
        if time.monotonic() > end:
            break
    counts = select(item.c.dispute, func.count().label("n")).where(item.c.project_id == of.id)
    found = {row.dispute: int(row.n) for row in connection.execute(counts.group_by(item.c.dispute))}
    left = int(connection.execute(select(func.count()).select_from(_unseen(of).subquery())).scalar_one())
    return Disputes(found.get(OPEN, 0), found.get(DECIDED, 0), left)


def _unseen(of: Project) -> Any:
    """Items not looked at that have all their labels, or all that they can get: a team of three gives no fourth."""
    where = (item.c.project_id == of.id, item.c.dispute == UNKNOWN, item.c.part.in_(("main", "chat")))
    team = and_(member.c.project_id == of.id, account.c.active, account.c.role == "rater", carries(item.c.skill))
    rates_here = select(account.c.id).join(member, member.c.account_id == account.c.id).where(team).correlate(item)
    had = exists().where(
        assignment.c.item_id == item.c.id, assignment.c.state.in_(CLOSED),
        assignment.c.rater_id == rater.c.id, rater.c.account_id == account.c.id,
    ).correlate(item, account)  # fmt: skip
    nobody_left = and_(item.c.done >= of.queue.overlap, rates_here.exists(), ~rates_here.where(~had).exists())
    return select(item.c.id).where(*where, item.c.done > 0, or_(item.c.done >= item.c.target, nobody_left))


def _labels(connection: Connection, items: Sequence[int]) -> Mapping[int, list[tuple[str, str]]]:
    """Of each item: who said what, as (kind of rater, label in a word)."""
    found: dict[int, list[tuple[str, str]]] = {}
    for row in connection.execute(_said(items)):
        found.setdefault(row.item_id, []).append((row.kind, label_of(read_answered(row.value))))
    return found


def _said(items: Sequence[int]) -> Any:
    return (
        select(assignment.c.item_id, judgement.c.value, rater.c.kind)
        .join(assignment, assignment.c.judgement_id == judgement.c.id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.item_id.in_(items), assignment.c.part != DECISION)
    )


def _disputed(said: Sequence[tuple[str, str]]) -> bool:
    people = [label for kind, label in said if kind == "human"]
    return bool(people) and not settled(people, [label for kind, label in said if kind != "human"])


def next_dispute(connection: Connection, of: Project, rater_id: int, after: int = 0) -> AnyRow | None:
    """The next item in dispute, by number, that this reviewer has not judged: one's own labels are others' to decide.

    Skipping one with `after` comes round to it again: None where there is none at all.
    """
    own = exists().where(assignment.c.item_id == item.c.id, assignment.c.rater_id == rater_id).correlate(item)
    query = select(item).where(item.c.project_id == of.id, item.c.dispute == OPEN, ~own).order_by(item.c.id).limit(1)
    return connection.execute(query.where(item.c.id > after)).first() or connection.execute(query).first()


def order_for(of: Project, row: AnyRow, rater_id: int) -> tuple[int, ...]:
    """Stored places of an item's answers in the order shown to this reviewer."""
    return order_of(of.seed, row.id, len(row.completions), rater_id)


def said_of(connection: Connection, row: AnyRow, shown: tuple[int, ...]) -> list[Said]:
    """What was said of an item, people first, in no order that tells one rater from another."""
    found = [
        Said(one.kind, in_shown_order(read_answered(one.value), shown)) for one in connection.execute(_said([row.id]))
    ]
    return sorted(found, key=lambda one: (one.kind != "human", label_of(one.answered), one.answered.reason))


def decision_sheet(sheet: Sheet) -> Sheet:
    """The project's sheet, with a reason: who labelled otherwise shall be able to learn why."""
    return sheet.model_copy(update={"reason": "required"})


def decide(
    connection: Connection,
    of: Project,
    item_id: int,
    rater_id: int,
    *,
    client_uuid: str,
    value: Mapping[str, Any],
    now: float,
) -> Submitted:
    """Keep a reviewer's decision, given in the order shown. A later one, of any reviewer, stands for an earlier.

    The item waits for no more raters; what one who holds it still says is kept.

    InputError: no such item, one that the reviewer judged as a rater, or not what the sheet asks.
    """
    row = connection.execute(
        select(item).where(item.c.id == item_id, item.c.project_id == of.id).with_for_update()
    ).first()
    if row is None:
        raise InputError(f"this project has no item {item_id}")
    mine = (assignment.c.item_id == item_id, assignment.c.rater_id == rater_id)
    held = connection.execute(select(assignment.c.id, assignment.c.part).where(*mine)).first()
    if held is not None and held.part != DECISION:
        raise InputError("you have had this item as a rater; another reviewer has to decide it")
    if held is None and row.dispute != OPEN:
        raise InputError("nobody disagrees about this item any more")
    asked = of_decision(of)
    key = held.id if held else hold(
        connection, of, item_id, len(row.completions), rater_id, DECISION, None, now, now
    )  # fmt: skip
    said = submit(connection, asked, key, rater_id, client_uuid=client_uuid, value=value, seconds=0.0, now=now)
    close(connection, item_id, DECIDED)
    return said


def close(connection: Connection, item_id: int, dispute: str) -> None:
    """Nobody is asked about an item any more; what is said of it stays, and so does what comes yet."""
    enough = case((item.c.done < item.c.target, item.c.done), else_=item.c.target)
    connection.execute(update(item).where(item.c.id == item_id).values(dispute=dispute, target=enough, open=False))


def of_decision(of: Project) -> Project:
    """The project as a decision is checked against it."""
    return replace(of, sheet=decision_sheet(of.sheet))
