"""A backup while many write, put back: row by row what was in the database before it began."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import select
from tests.studio.crowd import BUSY, all_is_there_once, fill, free_port, start, work_until
from tests.studio.test_kill import wait_for

from heedful.feedback.store import Store
from heedful.feedback.tables import APPEND_ONLY, metadata

WRITERS = 10
Rows = Mapping[tuple[Any, ...], Any]  # (table, primary key) -> the whole row


def rows_of(database: str) -> Rows:
    """Every row of every table, in one view."""
    store, found = Store(database), {}
    with store.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                found[table.name, *(row._mapping[column] for column in table.primary_key)] = tuple(row)
    store.close()
    return found


def heedful(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "heedful", "studio", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_backup_under_load_holds_row_by_row_what_was_there_before_it(database: str, tmp_path: Path) -> None:
    """A row that is the same just before the backup and just after it is the same in it; judgements, the log and
    notices never change, so that all of them from before are there."""
    port, stop, copy = free_port(), Event(), tmp_path / "copy"
    project, tokens = fill(database, WRITERS, 2000)
    server = start(database, port)
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            base = f"http://127.0.0.1:{port}"
            running = [pool.submit(work_until, stop, base, project, token) for token in tokens]
            try:
                live = Store(database)
                wait_for(live, 4 * WRITERS)
                live.close()
                before = rows_of(database)
                heedful("backup", str(copy), "--database", database)
                after = rows_of(database)
            finally:
                stop.set()
            results = [one.result() for one in running]
    finally:
        server.terminate()
        server.wait(20)
    assert not [error for one in results for error in one.errors if BUSY not in error]
    written = len([key for key in after if key not in before and key[0] == "judgement"])
    assert written, "nobody wrote while the copy was made"
    heedful("restore", str(copy), "--database", database)
    restored = rows_of(database)
    steady = {key: row for key, row in before.items() if after.get(key) == row}
    assert {key[0] for key in steady} >= {"judgement", "assignment", "item", "prompt", "completion", "account"}
    assert [key for key in before if key[0] in APPEND_ONLY and key not in steady] == []
    assert [(key, row, restored.get(key)) for key, row in steady.items() if restored.get(key) != row] == []
    number = [column.name for column in metadata.tables["judgement"].columns].index("client_uuid")
    all_is_there_once(database, [row[number] for key, row in before.items() if key[0] == "judgement"])
