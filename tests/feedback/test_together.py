"""Many writes in one transaction: each all or nothing, answered by what it returned or raised, once all are kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from heedful.errors import InputError, ResourceError
from heedful.feedback.prepared import Prepared, insert_one
from heedful.feedback.store import Store, open_store
from heedful.feedback.tables import item, project, rater
from heedful.feedback.together import Together

NAMES = Prepared(select(rater.c.name).order_by(rater.c.id))


def add(connection: Connection, name: str, wrong: BaseException | None = None) -> int:
    made = insert_one(connection, rater, kind="ai", name=name, account_id=None)
    if wrong:
        raise wrong
    return made


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return [row.name for row in NAMES.all(connection)]


def all_at_once(store: Store, *acts: Any, soon: bool = False) -> list[Any]:
    """What comes of acts that wait while another one is done: its value, or its exception."""
    together, begun, go_on = Together(store), Event(), Event()

    def first(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(30)

    together.write(first)
    assert begun.wait(30)
    answers = [together.write(act, soon=soon) for act in acts]
    go_on.set()
    return [one.exception(30) or one.result() for one in answers]


def test_a_write_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    wrong = InputError("not so")
    found = all_at_once(
        store, lambda c: add(c, "one"), lambda c: add(c, "two", wrong), lambda c: add(c, "three"), soon=True
    )
    assert found == [1, wrong, 2]
    assert names(store) == ["one", "three"]
    store.close()


def test_what_ends_the_transaction_fails_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    done = []

    def full(connection: Connection) -> None:
        done.append("full")
        raw: Any = connection.connection.dbapi_connection
        raw.rollback()  # as SQLite itself does where the disk is full
        raise DBAPIError.instance("", (), sqlite3.OperationalError("database or disk is full"), sqlite3.Error)

    one, failed, three = all_at_once(store, lambda c: add(c, "one"), full, lambda c: add(c, "three"))
    assert (one, three) == (1, 2) and isinstance(failed, ResourceError) and "disk is full" in str(failed)
    assert names(store) == ["one", "three"] and len(done) == 2
    store.close()


@pytest.mark.parametrize("wrong", [SystemExit("enough"), KeyboardInterrupt()], ids=lambda one: type(one).__name__)
def test_nobody_waits_for_ever_for_what_ends_a_program(wrong: BaseException, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    found = all_at_once(store, lambda c: add(c, "one"), lambda c: add(c, "two", wrong), lambda c: add(c, "three"))
    assert found == [1, wrong, 2]
    assert names(store) == ["one", "three"]
    store.close()


def test_a_write_that_nobody_waits_for_any_more_is_left_out_and_harms_no_other(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    together, begun, go_on = Together(store), Event(), Event()

    def first(connection: Connection) -> int:
        begun.set()
        assert go_on.wait(30)
        return add(connection, "first")

    under_way = together.write(first)
    assert begun.wait(30)
    others = [together.write(lambda c, name=name: add(c, name)) for name in ("one", "two", "three")]
    assert others[1].cancel() and not under_way.cancel()
    go_on.set()
    assert [under_way.result(30), others[0].result(30), others[2].result(30)] == [1, 2, 3]
    assert names(store) == ["first", "one", "three"]
    store.close()


def test_nothing_is_answered_before_it_is_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    together = Together(store)
    for number in range(20):
        together.write(lambda c, number=number: add(c, f"r{number}"))
    assert together.write(lambda c: add(c, "last")).result(30) == 21
    assert sqlite3.connect(store.file).execute("SELECT count(*) FROM rater").fetchone() == (21,)
    store.close()


def test_prepared_rows_are_as_sqlalchemy_gives_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    statement = select(project).where(project.c.id == bindparam("which"))
    with store.write() as connection:
        made = insert_one(
            connection, project, name="p", about="", guidelines="", sheet={"a": [1, None, "ü"]}, queue={}, seed=1,
            tail=0, open=True, created_at=1.5,
        )  # fmt: skip
        row, plain = Prepared(statement).first(connection, which=made), connection.execute(statement, {"which": made})
        assert row is not None
        assert (tuple(row), list(row._fields)) == (tuple(plain.one()), list(plain.keys()))  # type: ignore[attr-defined]
        assert row.open is True and row.sheet == {"a": [1, None, "ü"]} and row.warning == ""
        assert Prepared(statement).first(connection, which=9) is None
    store.close()


def test_a_prepared_statement_fails_as_sqlalchemy_does(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    with store.write() as connection, pytest.raises(DBAPIError, match="UNIQUE"):
        for _ in range(2):
            insert_one(connection, rater, kind="ai", name="twice", account_id=None)
    with store.write() as connection, pytest.raises(AssertionError, match="has a list"):
        Prepared(select(item).where(item.c.id.in_(bindparam("which", expanding=True)))).first(connection, which=[1])
    store.close()
