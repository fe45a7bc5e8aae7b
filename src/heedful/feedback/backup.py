"""Copies of the database, made while it is in use, and put back.

A SQLite file is copied by SQLite's own backup, page by page under load, never as a file beside a live write-ahead log.
PostgreSQL is copied by its own pg_dump and pg_restore.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import unquote

from heedful.errors import InputError, ResourceError
from heedful.feedback.store import Store

BESIDE = ("-wal", "-shm")  # what SQLite keeps beside a file in use


def copy_database(store: Store, to: Path) -> None:
    """Write a whole, checked copy to a new file."""
    if to.exists():
        raise InputError(f"{to}: is there already; name a new file for the copy")
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.part")
    part.unlink(missing_ok=True)
    try:
        if store.sqlite:
            _copy_sqlite(store.file, part)
            check_file(part)
        else:
            _postgres(store, "pg_dump", "--format=custom", f"--file={part}")
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.rename(to)
    except (sqlite3.Error, OSError) as error:
        raise ResourceError(f"{to}: the copy failed ({error}); the database itself is untouched") from None
    finally:
        part.unlink(missing_ok=True)


def _copy_sqlite(source: Path, target: Path) -> None:
    reader, writer = sqlite3.connect(source, timeout=30), sqlite3.connect(target)
    try:
        reader.execute("BEGIN")  # one view of the database, so that writers don't make the copy start over
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reader.backup(writer)
        writer.execute("PRAGMA journal_mode=DELETE")  # the copy is one file
    finally:
        writer.close()
        reader.close()


def check_file(path: Path) -> None:
    """InputError: the file is no sound database of heedful's."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            said = connection.execute("PRAGMA integrity_check").fetchone()[0]
            connection.execute("SELECT count(*) FROM judgement").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no sound copy of a heedful database ({error})") from None
    if said != "ok":
        raise InputError(f"{path}: is damaged ({said})")


def restore(copy: Path, database: Store) -> Path | None:
    """Put a copy in the place of the database, with the server stopped. Returns where the old file was moved."""
    if not copy.exists():
        raise InputError(f"{copy}: there is no such copy")
    if not database.sqlite:
        _postgres(database, "pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", str(copy))
        return None
    check_file(copy)
    path = database.file
    kept: Path | None = None
    if path.exists():
        _refuse_in_use(path)
        kept = _free_name(path)
        _keep(path, kept)
    part = path.with_name(f".{path.name}.part")
    shutil.copyfile(copy, part)
    with part.open("rb") as stream:
        os.fsync(stream.fileno())  # before it takes the old file's name
    for suffix in BESIDE:  # they belong to the old file
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    part.replace(path)
    return kept


def _keep(path: Path, kept: Path) -> None:
    """What is to be replaced, under another name; a damaged file as it lies there, with the log beside it."""
    try:
        _copy_sqlite(path, kept)
    except sqlite3.DatabaseError:
        for suffix in ("", *BESIDE):
            Path(f"{kept}{suffix}").unlink(missing_ok=True)
            if Path(f"{path}{suffix}").exists():
                shutil.copyfile(f"{path}{suffix}", f"{kept}{suffix}")


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.before-restore-{number}")).exists():
        number += 1
    return kept


def _refuse_in_use(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError:
        raise InputError(f"{path}: is in use; stop 'heedful studio' and any other program that has it open") from None
    except sqlite3.DatabaseError:
        return  # damaged: that is why it is being replaced
    finally:
        connection.close()


def _postgres(store: Store, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs on the database; its password goes by the environment."""
    if not shutil.which(program):
        raise ResourceError(f"{program} is not installed; install PostgreSQL's client programs (postgresql-client)")
    url = store.url
    environment = os.environ | ({"PGPASSWORD": unquote(str(url.password))} if url.password else {})
    where = [f"--dbname={url.database}"]
    host = url.host or url.query.get("host")
    for option, value in (("host", host), ("port", url.port), ("username", url.username)):
        where += [f"--{option}={value}"] if value else []
    done = subprocess.run([program, *where, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ResourceError(f"{program}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
