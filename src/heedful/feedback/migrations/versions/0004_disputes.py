"""Whether raters disagree about an item to the end, found when somebody asks; every item begins as not looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("item", sa.Column("dispute", sa.String(12), nullable=False, server_default=sa.text("''")))
    op.create_index("ix_item_project_id_dispute", "item", ["project_id", "dispute"])
