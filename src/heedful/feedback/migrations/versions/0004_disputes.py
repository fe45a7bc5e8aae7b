"""Whether raters disagree about an item to the end (every item begins as not looked at), and what a label weighs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("item", sa.Column("dispute", sa.String(12), nullable=False, server_default=sa.text("''")))
    op.add_column("judgement", sa.Column("weight", sa.Float(), nullable=False, server_default=sa.text("1")))
    op.create_index("ix_item_project_id_dispute", "item", ["project_id", "dispute"])
