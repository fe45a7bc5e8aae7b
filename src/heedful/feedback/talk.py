"""A turn of a live chat, kept as an item of its own that its rater holds; and what is known of whole chats."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection, delete, func, select, update

from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, add_items, item_key, keyed
from heedful.feedback.prepared import AnyRow, insert_one
from heedful.feedback.projects import Project
from heedful.feedback.queue import hold, next_place
from heedful.feedback.tables import assignment, conversation, draft, item, judgement, retake, turn

FOREVER = 1e6 * 86400.0  # seconds: nobody else waits for a turn
AGAIN = "again"  # the state and the part of answers in whose place others were asked for


def add_turn(
    connection: Connection,
    of: Project,
    conversation_id: int,
    rater_id: int,
    new: NewItem,
    text: str,
    client_uuid: str,
    now: float,
) -> None:
    """Store what was said and the two answers; the rater judges them as any item."""
    held = _hold(connection, of, rater_id, new, now)
    number = connection.execute(select(func.count()).where(turn.c.conversation_id == conversation_id)).scalar_one()
    insert_one(
        connection, turn, conversation_id=conversation_id, number=number, client_uuid=client_uuid, text=text,
        assignment_id=held,
    )  # fmt: skip


def _hold(connection: Connection, of: Project, rater_id: int, new: NewItem, now: float) -> int:
    add_items(connection, of, [keyed(new)], next_place(connection, of.id), Imported())
    where = (item.c.project_id == of.id, item.c.key == item_key(connection, of, new))
    row = connection.execute(select(item.c.id, item.c.completions).where(*where)).one()
    connection.execute(update(item).where(item.c.id == row.id).values(open=False, taken=1))
    return hold(connection, of, row.id, len(row.completions), rater_id, "chat", 0, now, now + FOREVER)


def answer_again(
    connection: Connection, of: Project, row: AnyRow, rater_id: int, new: NewItem, client_uuid: str, now: float
) -> None:
    """Two other answers in the place of a turn's. The first ones stay in the record, with the judgement `none`.

    row: the turn's id and its assignment_id, which has no judgement yet.
    """
    before = row.assignment_id
    own_id = str(uuid5(NAMESPACE_OID, f"again/{before}"))
    said = insert_one(
        connection, judgement, assignment_id=before, revision=1, client_uuid=own_id, digest="",
        value={"verdict": "none"}, seconds=0.0, created_at=now,
    )  # fmt: skip
    closed = {"state": AGAIN, "slot": None, "closed_at": now, "judgement_id": said, "verdict": "none"}
    connection.execute(update(assignment).where(assignment.c.id == before).values(**closed))
    connection.execute(delete(draft).where(draft.c.assignment_id == before))
    owner = select(assignment.c.item_id).where(assignment.c.id == before).scalar_subquery()
    connection.execute(update(item).where(item.c.id == owner).values(part=AGAIN, taken=0))
    insert_one(connection, retake, turn_id=row.id, client_uuid=client_uuid, assignment_id=before)
    held = _hold(connection, of, rater_id, new, now)
    connection.execute(update(turn).where(turn.c.id == row.id).values(assignment_id=held))


def talks_of(connection: Connection, assignments: Collection[int]) -> Mapping[int, dict[str, Any]]:
    """Of each assignment that is a turn: its conversation, its number from 0, and what was said of the whole."""
    of_turn = select(turn.c.assignment_id, turn.c.id).where(turn.c.assignment_id.in_(assignments))
    of_retake = select(retake.c.assignment_id, retake.c.turn_id).where(retake.c.assignment_id.in_(assignments))
    which = of_turn.union_all(of_retake).subquery()
    columns = (which.c.assignment_id, turn.c.conversation_id, turn.c.number, conversation)
    query = (
        select(*columns)
        .join(turn, turn.c.id == which.c.id)
        .join(conversation, conversation.c.id == turn.c.conversation_id)
    )
    return {row.assignment_id: _told(row) for row in connection.execute(query)}


def _told(row: AnyRow) -> dict[str, Any]:
    """What wasn't said is left out."""
    whole = {"goal": row.goal, "success": row.success, "conversation_ratings": row.ratings, "comment": row.comment}
    return {"conversation": row.conversation_id, "turn": row.number} | {k: said for k, said in whole.items() if said}
