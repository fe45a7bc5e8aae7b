"""Content warnings, appeals, answers of a chat that were asked for anew, ratings of whole conversations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("project", sa.Column("warning", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("conversation", sa.Column("ratings", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.create_table(
        "retake",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("turn_id", ID, nullable=False),
        sa.Column("client_uuid", sa.String(36), nullable=False),
        sa.Column("assignment_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turn.id"], name="fk_retake_turn_id"),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name="fk_retake_assignment_id"),
        sa.PrimaryKeyConstraint("id", name="pk_retake"),
        sa.UniqueConstraint("client_uuid", name="uq_retake_client_uuid"),
        sa.UniqueConstraint("assignment_id", name="uq_retake_assignment_id"),
    )
    op.create_table(
        "appeal",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("assignment_id", ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("account_id", ID, nullable=True),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name="fk_appeal_assignment_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_appeal_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_appeal"),
        sa.UniqueConstraint("assignment_id", name="uq_appeal_assignment_id"),
    )
