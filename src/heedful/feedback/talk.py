"""A turn of a live chat, kept as an item of its own that its rater holds."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, add_items, item_key
from heedful.feedback.projects import Project
from heedful.feedback.queue import hold, next_place
from heedful.feedback.store import insert_one
from heedful.feedback.tables import item, turn

FOREVER = 1e6 * 86400.0  # seconds: nobody else waits for a turn


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
    add_items(connection, of, [new], next_place(connection, of.id), Imported())
    where = (item.c.project_id == of.id, item.c.key == item_key(connection, of, new))
    row = connection.execute(select(item.c.id, item.c.completions).where(*where)).one()
    connection.execute(update(item).where(item.c.id == row.id).values(open=False, taken=1))
    held = hold(connection, of, row.id, len(row.completions), rater_id, "chat", 0, now, now + FOREVER)
    number = connection.execute(select(func.count()).where(turn.c.conversation_id == conversation_id)).scalar_one()
    insert_one(
        connection, turn, conversation_id=conversation_id, number=number, client_uuid=client_uuid, text=text,
        assignment_id=held,
    )  # fmt: skip
