"""The database: one SQLite file, or PostgreSQL by its URL. Opens it, updates its tables, and hands out transactions.

SQLite runs in WAL mode with `synchronous=FULL` (a commit that was acknowledged outlives a power cut), and every writing
transaction begins with BEGIN IMMEDIATE: one that reads first and writes later fails at once when another wrote between.
Writers of one process queue for a single connection, which is fairer than SQLite's own waiting; short writes of raters
share its transactions (`together`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Table, create_engine, event, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError as BadURL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, TimeoutError

from heedful.errors import InputError, ResourceError
from heedful.feedback.prepared import run, to_json

WAIT = 15.0  # seconds that a transaction waits for its turn
WRITER_CACHE = 16_000  # KiB of pages that the one writing connection keeps
LOG = 4_000  # pages of 4 KiB that are logged before they go to their places: an import writes the same ones many times
READER_CACHE = 1_000  # and each of the many that read: the system has the file in memory once for all of them
REMOTE_DISKS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


class Store:
    """An open database. Use `read()` and `write()` as context managers; a write commits when its block ends well."""

    def __init__(self, database: str, *, wait: float = WAIT) -> None:
        """database: a file's path, or a URL (`postgresql://…`). wait: seconds for a transaction's turn."""
        self.url = database_url(database)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._reader, self._writer = _engines(self.url, wait)

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return Path(str(self.url.database))

    @property
    def place(self) -> str:
        """Where the labels lie, for whoever reads it: the file, or the URL without its password."""
        return _place(self.url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with _in_words(self.url), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All or nothing, and on the disk when the block has ended."""
        with _in_words(self.url), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def write_soon(self) -> Iterator[Connection]:
        """All or nothing, and on the disk with the next `write`: for what a power cut may take back, as a lease."""
        with _in_words(self.url), self._writer.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            with _unsynced(raw) if self.sqlite else nullcontext(), connection.begin():
                if not self.sqlite:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
                yield connection

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()


@contextmanager
def _unsynced(connection: Any) -> Iterator[None]:
    """A connection of the driver whose commits wait for no disk. Later ones that do bring these along."""
    connection.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous=FULL")


def database_url(database: str) -> URL:
    """InputError: it is no database that heedful knows."""
    if "://" not in database:
        return URL.create("sqlite", database=str(Path(database).expanduser().resolve()))
    try:
        url = make_url(database)
    except (BadURL, ValueError):  # a port that is no number is the latter
        raise InputError(
            f"{database}: is no database URL; name a file, or postgresql://user:password@host/name"
        ) from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return url.set(database=str(Path(url.database).resolve()))
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
    raise InputError(f"{url.render_as_string()}: heedful keeps labels in a SQLite file or in PostgreSQL")


def _place(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()


def _engines(url: URL, wait: float) -> tuple[Engine, Engine]:
    """Two engines over SQLite, whose writers begin otherwise than its readers; one over PostgreSQL."""
    if url.get_backend_name() != "sqlite":
        try:
            engine = create_engine(
                url, json_serializer=to_json, pool_size=10, max_overflow=10, pool_timeout=wait, pool_pre_ping=True
            )
        except (NoSuchModuleError, ModuleNotFoundError):
            raise InputError("PostgreSQL needs its driver: pip install 'heedful[postgres]'") from None
        return engine, engine
    path = Path(str(url.database))
    _check_folder(path)
    reader = create_engine(
        url, json_serializer=to_json, pool_size=16, max_overflow=32, pool_timeout=wait, pool_use_lifo=True
    )
    writer = create_engine(url, json_serializer=to_json, pool_size=1, max_overflow=0, pool_timeout=wait)
    for engine, begin, cache in ((reader, "BEGIN", READER_CACHE), (writer, "BEGIN IMMEDIATE", WRITER_CACHE)):
        _set_up_sqlite(engine, begin, wait, cache)
    return reader, writer


def _check_folder(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the database file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{path.parent}: can't be made ({error.strerror}); name another place for the database"
        ) from None
    if (disk := _disk_kind(path.parent)) in REMOTE_DISKS:
        raise InputError(
            f"{path}: lies on a network disk ({disk}), where SQLite can lose labels; use a local disk or PostgreSQL"
        )


def _disk_kind(folder: Path) -> str:
    """The file system's kind, where Linux tells it."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    over = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(over, default=(0, ""))[1]


def _set_up_sqlite(engine: Engine, begin: str, wait: float, cache: int) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # this module begins transactions, not the driver
        for pragma in (
            f"busy_timeout={int(wait * 1000)}",
            "foreign_keys=ON",
            "synchronous=FULL",
            f"wal_autocheckpoint={LOG}",
            f"cache_size=-{cache}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        run(connection, begin)


@contextmanager
def _in_words(url: URL) -> Iterator[None]:
    """What a database can fail at, as a sentence that says what to do."""
    try:
        yield
    except TimeoutError:
        raise ResourceError("the database had no free connection in time; nothing was saved, try again") from None
    except DBAPIError as error:
        if said := _sentence(url, str(error.orig).lower()):
            raise ResourceError(said) from error
        raise


def _sentence(url: URL, fault: str) -> str:
    where = _place(url)
    if "locked" in fault or "busy" in fault:
        return (
            f"{where}: another program holds the database; nothing was saved. Close what has it open "
            "(a backup tool, a database browser), then try again"
        )
    if "readonly" in fault or "read-only" in fault:
        return (
            f"{where}: may not be written; nothing was saved. "
            "Give the server's user the right to write the file and its folder"
        )
    if "disk is full" in fault or "no space left" in fault or "disk i/o" in fault:
        return f"{where}: the disk is full or failing; nothing was saved. Free some space, then try again"
    if "malformed" in fault or "not a database" in fault:
        return f"{where}: is damaged or no database; restore the newest copy with 'heedful studio restore'"
    if "unable to open" in fault:
        return f"{where}: can't be opened; check that its folder is there and may be written"
    if "fatal:" in fault:
        said = fault.partition("fatal:")[2].strip().splitlines()[0]
        return f"{where}: the database server refuses ({said}); check the URL's user, password and database"
    if "connection" in fault or "could not translate host" in fault or "server closed" in fault:
        return f"{where}: the database server does not answer ({fault.strip().splitlines()[0]}); check that it runs"
    return ""


def open_store(database: str) -> Store:
    """Open a database, new or old, with its tables up to date. A SQLite file is copied before it is changed."""
    from heedful.feedback.migrate import up_to_date

    store = Store(database)
    if store.sqlite:
        with _in_words(store.url), store._reader.connect() as connection:
            if str(connection.exec_driver_sql("PRAGMA journal_mode").scalar()).lower() != "wal":
                connection.rollback()
                _switch_to_wal(store)
    up_to_date(store)
    return store


def _switch_to_wal(store: Store) -> None:
    """The mode is the file's, and can't be changed inside a transaction."""
    try:
        plain = sqlite3.connect(store.file, timeout=WAIT)
        try:
            plain.execute("PRAGMA journal_mode=WAL")
        finally:
            plain.close()
    except sqlite3.Error as error:
        raise ResourceError(_sentence(store.url, str(error).lower()) or f"{store.file}: {error}") from None


def has_tables(connection: Connection) -> bool:
    return inspect(connection).has_table("judgement")


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert those rows, all of the same columns, whose unique columns are not taken yet; returns how many these were.

    They go to the driver as it takes them: SQLAlchemy's own way looks each row over again, which costs several times
    what inserting it does.
    """
    if not rows:
        return 0
    statement, columns = _insert_new(table, connection.dialect, tuple(rows[0]))
    taken = [
        [to(row[name]) for row in rows] if to else [row[name] for row in rows] for name, to in columns.items()
    ]  # a list a column
    values: list[Any] = list(zip(*taken, strict=True))
    if not connection.dialect.positional:
        values = [dict(zip(columns, one, strict=True)) for one in values]
    return connection.exec_driver_sql(statement, values, execution_options={"preserve_rowcount": True}).rowcount


def numbers_of(connection: Connection, table: Table, added: int, rows: int) -> Sequence[int]:
    """The ids of the rows that were inserted last, in their order, where all of them were new; else none.

    SQLite, which has one writer at a time, gives one after another; of PostgreSQL they have to be asked for.
    """
    if added < rows or connection.dialect.name != "sqlite":
        return ()
    last = int(connection.execute(select(func.max(table.c.id))).scalar() or 0)
    return range(last - rows + 1, last + 1)


@lru_cache(maxsize=64)
def _insert_new(
    table: Table, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, Mapping[str, Callable[[Any], Any] | None]]:
    """The statement in the driver's words, and its columns with what makes a value one that the driver takes."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).on_conflict_do_nothing().inline().compile(dialect=dialect, column_keys=names)
    kinds = {name: table.c[name].type.dialect_impl(dialect) for name in statement.params}
    return str(statement), {name: kind.bind_processor(dialect) for name, kind in kinds.items()}


def count(connection: Connection, table: Table, *where: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
