"""The database: its tables, copies, refusals in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from heedful.errors import InputError, ResourceError
from heedful.feedback.accounts import verify
from heedful.feedback.audit import broken_at, note
from heedful.feedback.backup import copy_database, restore
from heedful.feedback.intake import completion_key
from heedful.feedback.labels import read_labels
from heedful.feedback.migrate import HEAD, SCRIPTS, version_of
from heedful.feedback.projects import Project, find_project, rater_named
from heedful.feedback.store import Store, database_url, open_store
from heedful.feedback.tables import completion, metadata


def test_the_scripts_make_the_tables_that_the_code_knows(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == HEAD == version_of(store)


def test_commits_outlive_a_power_cut_by_setting(store: Store) -> None:
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_pages_are_kept_once_and_not_by_every_reader(store: Store) -> None:
    with store.read() as reader, store.write() as writer:
        kept = [-one.exec_driver_sql("PRAGMA cache_size").scalar_one() for one in (reader, writer)]
    assert kept[0] * 48 <= 50_000 and kept[1] >= 8_000  # KiB; as many may read at once


def test_a_block_that_fails_leaves_nothing(store: Store, make: Callable[..., Project]) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(text("INSERT INTO attempt (key, at) VALUES ('x', 1)"))
        1 / 0  # noqa: B018
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM attempt")).scalar() == 0


def test_a_newer_database_is_refused(store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="newer heedful"):
        open_store(str(store.file))


def test_foreign_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE judgement (id INTEGER)")
    other.close()
    with pytest.raises(InputError, match="did not write"):
        open_store(str(path))


def test_no_database_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are notes, and long enough to be no empty file " * 100)
    with pytest.raises(ResourceError, match="no database"):
        open_store(str(tmp_path / "notes.db"))
    with pytest.raises(InputError, match="is a folder"):
        open_store(str(tmp_path))
    for url in ("mysql://a/b", "sqlite://", "://"):
        with pytest.raises(InputError):
            database_url(url)


def test_a_database_that_another_program_holds_says_so(store: Store) -> None:
    impatient = Store(str(store.file), wait=0.05)
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ResourceError, match="another program holds"), impatient.write():
        pass
    other.close()
    with impatient.write():
        pass
    impatient.close()


def test_a_read_only_database_and_a_full_disk_say_what_to_do(store: Store) -> None:
    read_only, full = Store(str(store.file)), Store(str(store.file))
    with pytest.raises(ResourceError, match="may not be written"), read_only.write() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.execute(text("INSERT INTO attempt (key, at) VALUES ('x', 1)"))
    with pytest.raises(ResourceError, match="disk is full"), full.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        for _ in range(2000):
            connection.execute(text("INSERT INTO attempt (key, at) VALUES (:key, 1)"), {"key": "x" * 150})
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM attempt")).scalar() == 0
    read_only.close()
    full.close()


def test_a_damaged_database_is_kept_as_it_lies_and_replaced(
    store: Store, make: Callable[..., Project], tmp_path: Path
) -> None:
    make(2)
    copy = tmp_path / "copy.db"
    copy_database(store, copy)
    store.close()
    rubble = b"no database at all " * 500
    store.file.write_bytes(rubble)
    kept = restore(copy, store)
    assert kept is not None and kept.read_bytes() == rubble
    assert store.file.read_bytes() == copy.read_bytes()


def test_a_copy_is_whole_and_comes_back(store: Store, make: Callable[..., Project], tmp_path: Path) -> None:
    make(3)
    copy = tmp_path / "copies" / "one.db"
    copy_database(store, copy)
    with pytest.raises(InputError, match="is there already"):
        copy_database(store, copy)
    make(3, name="later")
    with pytest.raises(InputError, match="is in use"):
        restore(copy, store)
    store.close()
    kept = restore(copy, store)
    again = open_store(str(store.file))
    with again.read() as connection:
        assert find_project(connection, "p") and not find_project(connection, "later")
    again.close()
    assert kept is not None
    before = open_store(str(kept))
    with before.read() as connection:
        assert find_project(connection, "later")
    before.close()
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(InputError, match="no sound copy|damaged"):
        restore(damaged, store)


def test_the_log_tells_when_a_line_was_changed(store: Store) -> None:
    with store.write() as connection:
        for number in range(4):
            note(connection, float(number), None, "did", f"thing {number}", n=number)
        assert broken_at(connection) == 0
        connection.execute(text("DROP TRIGGER event_no_update"))
        connection.execute(text("UPDATE event SET subject = 'another' WHERE id = 3"))
        assert broken_at(connection) == 3


def test_a_database_of_the_first_tables_opens_and_keeps_all_that_it_held(tmp_path: Path) -> None:
    """The dump is kept as it was written by the first version; later scripts must bring it up to date."""
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "first_schema.sql").read_text())
    old.close()
    store = open_store(str(path))
    with store.read() as connection:
        project = find_project(connection, "first")
        assert project is not None
        [label] = read_labels(connection, project)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert verify(connection, "ada", "a plain pass phrase")
        written = connection.execute(select(completion)).all()
        assert written and all(one.key == completion_key(one.source, one.text) for one in written)
    assert label.value["verdict"] == "both_bad" and label.revision == 2 and version_of(store) == HEAD
    with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
        connection.execute(text("DELETE FROM judgement"))
    store.close()


def test_a_lease_waits_for_no_disk_and_an_answer_does(store: Store) -> None:
    """What `write_soon` leaves is there, and the writes behind it are as safe as ever."""

    def mode() -> int:
        with store.write() as connection:
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    with store.write_soon() as connection:
        rater_named(connection, "human", "soon")
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 1
    assert mode() == 2
    with pytest.raises(ZeroDivisionError), store.write_soon() as connection:
        rater_named(connection, "human", "never")
        raise ZeroDivisionError
    assert mode() == 2
    with store.read() as connection:
        assert list(connection.exec_driver_sql("SELECT name FROM rater").scalars()) == ["soon"]
