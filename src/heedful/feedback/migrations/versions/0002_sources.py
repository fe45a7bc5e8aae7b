"""A completion is known by its text and who wrote it: two models may say the same to one prompt."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PAGE = 1000
COMPLETION = sa.table("completion", sa.column("id"), sa.column("key"), sa.column("text"), sa.column("source"))


def upgrade() -> None:
    connection, after = op.get_bind(), 0
    query = sa.select(COMPLETION.c.id, COMPLETION.c.text, COMPLETION.c.source).order_by(COMPLETION.c.id).limit(PAGE)
    while rows := connection.execute(query.where(COMPLETION.c.id > after)).all():
        for row in rows:
            key = hashlib.sha256(f"{row.source}\0{row.text}".encode("utf-8", "surrogatepass")).hexdigest()
            connection.execute(sa.update(COMPLETION).where(COMPLETION.c.id == row.id).values(key=key))
        after = rows[-1].id
