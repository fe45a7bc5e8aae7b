"""Alembic's entry: the connection is given by `heedful.feedback.migrate`, whose transaction holds the whole upgrade."""

from __future__ import annotations

from alembic import context

from heedful.feedback.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
