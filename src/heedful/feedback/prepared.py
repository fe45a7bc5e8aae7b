"""Statements that every item needs, put into SQLite's words once and given to its driver as it takes them.

SQLAlchemy's own way to run a statement takes ten times as long as SQLite does. PostgreSQL, which waits for its network,
is asked that way all the same.
"""

from __future__ import annotations

import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Row, Select, Table, Update
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

AnyRow = Row[*tuple[Any, ...]]
Processor = Callable[[Any], Any] | None


def run(connection: Connection, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
    """SQL as SQLite's driver takes it, in the connection's transaction. DBAPIError: as SQLAlchemy raises it."""
    raw: Any = connection.connection.dbapi_connection
    try:
        return raw.execute(sql, values)  # type: ignore[no-any-return]
    except sqlite3.Error as error:
        raise DBAPIError.instance(sql, tuple(values), error, sqlite3.Error, dialect=connection.dialect) from error


class Prepared:
    """A statement whose parameters have names (`bindparam`), none of them a list; of an insert, its columns."""

    def __init__(self, statement: Select[Any] | Insert | Update | Delete, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns

    def all(self, connection: Connection, **values: Any) -> list[AnyRow]:
        if connection.dialect.name != "sqlite":
            return list(connection.execute(self._statement, values))
        return [self._row(one) for one in self._cursor(connection, values)]

    def first(self, connection: Connection, **values: Any) -> AnyRow | None:
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, values).first()
        cursor = self._cursor(connection, values)
        one = cursor.fetchone()
        cursor.close()  # whose statement would else be held, and with it the view
        return None if one is None else self._row(one)

    def change(self, connection: Connection, **values: Any) -> int:
        """Run what returns no rows; how many it changed."""
        if connection.dialect.name != "sqlite":
            return int(connection.execute(self._statement, values).rowcount)
        return self._cursor(connection, values).rowcount

    def insert(self, connection: Connection, **values: Any) -> int:
        """Insert a row of a table with an `id`, and return the id."""
        if connection.dialect.name != "sqlite":
            key = connection.execute(self._statement, values).inserted_primary_key
            assert key is not None
            return int(key[0])
        return int(self._cursor(connection, values).lastrowid or 0)

    def _cursor(self, connection: Connection, values: dict[str, Any]) -> sqlite3.Cursor:
        if not connection.in_transaction():
            connection.begin()
        sql, parameters = self._sql
        given = [to(values.get(name, default)) if to else values.get(name, default) for name, default, to in parameters]
        return run(connection, sql, given)

    @cached_property
    def _sql(self) -> tuple[str, list[tuple[str, Any, Processor]]]:
        """The statement in SQLite's words, and of each parameter its name, what it is where it is not given, and what
        makes a value one that the driver takes."""
        statement = self._statement.inline() if isinstance(self._statement, Insert) else self._statement
        made: Any = statement.compile(dialect=DIALECT, column_keys=self._columns)
        assert not made.post_compile_params, f"has a list: {made}"
        by_name = {name: one for one, name in made.bind_names.items()}
        return str(made), [
            (by_name[name].key, by_name[name].value, _processor(by_name[name].type, "bind_processor"))
            for name in made.positiontup
        ]

    @cached_property
    def _row(self) -> Callable[[Sequence[Any]], Any]:
        """What makes a row of what the driver gives."""
        assert isinstance(self._statement, Select)
        columns = self._statement.selected_columns
        kind = namedtuple("kind", [one.key for one in columns], rename=True)  # type: ignore[misc]
        change = [
            (place, to)
            for place, one in enumerate(columns)
            if (to := _processor(one.type, "result_processor", None)) is not None
        ]

        def row(values: Sequence[Any]) -> Any:
            found = list(values)
            for place, to in change:
                found[place] = to(found[place])
            return kind._make(found)

        return row if change else kind._make


def to_json(value: Any) -> str:
    """As `json.dumps`, which takes as long over nothing as over something; most lists and objects are empty."""
    return "[]" if value == [] else "{}" if value == {} else json.dumps(value)


DIALECT = sqlite_dialect(json_serializer=to_json)


def _processor(kind: TypeEngine[Any], which: str, *more: Any) -> Processor:
    found: Processor = getattr(kind.dialect_impl(DIALECT), which)(DIALECT, *more)
    return found


@lru_cache(maxsize=128)
def _inserting(table: Table, names: tuple[str, ...]) -> Prepared:
    return Prepared(table.insert(), names)


def insert_one(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row of a table with an `id`, and return the id."""
    return _inserting(table, tuple(values)).insert(connection, **values)
