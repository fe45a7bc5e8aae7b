"""Whether a studio's database is well, in words: sound, of this version, with room to grow, copied lately."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select

from heedful.errors import HeedfulError
from heedful.feedback.audit import note
from heedful.feedback.backup import check_file
from heedful.feedback.migrate import HEAD, version_of
from heedful.feedback.store import Store, database_url
from heedful.feedback.tables import event

COPIED = "backup made"  # the event
ROOM = 1e9  # bytes free, and at least twice the database's size: an update begins with a copy
DAY = 86400.0
Check = tuple[str, str, bool]  # what was looked at, what was found, whether it is well


def note_copy(connection: Connection, name: str) -> None:
    """Remember when the last copy was made."""
    note(connection, time.time(), None, COPIED, name)


def look_at(database: str) -> list[Check]:
    """Everything that can be told of a database without changing it."""
    try:
        url = database_url(database)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
            return [("studio", f"no {database} here", True)]
        with closing(Store(database)) as store:
            return _checks(store)
    except (HeedfulError, sqlite3.Error) as error:
        return [("studio", str(error), False)]


def _checks(store: Store) -> list[Check]:
    found = version_of(store)
    checks: list[Check] = [("studio", f"{store.place} answers", True), _version(found)]
    if store.sqlite:
        check_file(store.file)
        size, free = store.file.stat().st_size, shutil.disk_usage(store.file.parent).free
        checks.append(("studio, integrity", f"every page of {size / 1e6:.1f} MB is sound", True))
        checks.append(("studio, room", f"{free / 1e9:.1f} GB free beside it", free > max(ROOM, 2 * size)))
    with store.read() as connection:
        if inspect(connection).has_table("event"):
            last = connection.execute(select(func.max(event.c.at)).where(event.c.action == COPIED)).scalar()
            checks.append(("studio, last backup", _ago(last), True))
    return checks


def _version(found: str) -> Check:
    if found == HEAD:
        return "studio, tables", f"{found}, as this heedful writes them", True
    if found > HEAD:
        return "studio, tables", f"{found}: written by a newer heedful (this one knows {HEAD}); update heedful", False
    return "studio, tables", f"{found or 'none yet'}: the next start brings them to {HEAD}, after a copy", True


def _ago(last: float | None) -> str:
    if last is None:
        return "none that is known of: heedful studio backup copy.db"
    days = (time.time() - last) / DAY
    late = "" if days < 7 else ": it is time for another, heedful studio backup copy.db"
    return f"{days:.0f} days ago{late}" if days >= 1 else "within a day"
