"""Tables brought up to date by Alembic, whose scripts lie in `migrations/`; a newer database is refused."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import inspect

from heedful.errors import InputError
from heedful.feedback.backup import copy_database
from heedful.feedback.store import Store, has_tables

HEAD = "0007"  # the newest script; a test compares it with the folder
SCRIPTS = Path(__file__).parent / "migrations"


def version_of(store: Store) -> str:
    """The database's own version; empty: it has no tables yet."""
    with store.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def up_to_date(store: Store) -> None:
    """Create or upgrade the tables; an old SQLite file is kept as `<name>.<version>.bak`."""
    found = version_of(store)
    if found == HEAD:
        return
    if found > HEAD:
        raise InputError(
            f"{store.place}: was written by a newer heedful (tables {found}, this one knows {HEAD}); "
            "update heedful: going back would lose what the newer tables hold"
        )
    if found and store.sqlite:
        copy_database(store, store.file.with_name(f"{store.file.name}.{found}.{time.strftime('%Y%m%d-%H%M%S')}.bak"))
    with store.read() as connection:
        if not found and has_tables(connection):
            raise InputError(f"{store.place}: holds tables that heedful did not write; name another database")
    _upgrade(store)


def _upgrade(store: Store) -> None:
    from alembic import command  # a quarter of a second that most starts need not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
