"""What became of each notice on a skipped or reported item."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "settlement",
        sa.Column("notice_id", ID, autoincrement=True, nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_settlement_notice_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_settlement_account_id"),
        sa.PrimaryKeyConstraint("notice_id", name="pk_settlement"),
    )
