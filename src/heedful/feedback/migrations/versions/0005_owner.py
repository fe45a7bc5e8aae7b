"""Answers that name their writer, skills that items ask for, a judge's draws, and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from heedful.feedback.leaks import leak_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SLICE = 2000


def upgrade() -> None:
    op.add_column("completion", sa.Column("leak", sa.String(80), nullable=False, server_default=sa.text("''")))
    op.create_index(
        "ix_completion_leaking", "completion", ["prompt_id"],
        sqlite_where=sa.text("leak <> ''"), postgresql_where=sa.text("leak <> ''"),
    )  # fmt: skip
    op.add_column("item", sa.Column("skill", sa.String(40), nullable=False, server_default=sa.text("''")))
    op.create_index(
        "ix_item_skilled", "item", ["project_id", "skill"],
        sqlite_where=sa.text("skill <> ''"), postgresql_where=sa.text("skill <> ''"),
    )  # fmt: skip
    op.add_column("account", sa.Column("skills", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.add_column("judgement", sa.Column("draws", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    _webhook()
    _delivery()
    _look_for_leaks()


def _webhook() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("cursor", ID, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_webhook_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("event", sa.String(length=24), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("said", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_delivery_webhook_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("webhook_id", "key", name=op.f("uq_delivery_webhook_id_key")),
    )
    op.create_index("ix_delivery_state_next_at", "delivery", ["state", "next_at"])


def _look_for_leaks() -> None:
    """Answers that were in before are looked at too: by the patterns of the day on which this runs, which flag no worse
    than those of the day on which it was written."""
    answers = sa.table("completion", sa.column("id"), sa.column("text"), sa.column("source"), sa.column("leak"))
    query = sa.select(answers.c.id, answers.c.text, answers.c.source).order_by(answers.c.id).limit(SLICE)
    connection, last = op.get_bind(), 0
    while rows := connection.execute(query.where(answers.c.id > last)).all():
        last = rows[-1].id
        for row in rows:
            if said := leak_of(row.text, row.source):
                connection.execute(sa.update(answers).where(answers.c.id == row.id).values(leak=said))
