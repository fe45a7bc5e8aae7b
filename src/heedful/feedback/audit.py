"""The log of who did what to projects and people: added to, never changed, each row's hash covering the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from heedful.feedback.prepared import AnyRow, insert_one
from heedful.feedback.tables import event

START = "0" * 64


def _hash(
    previous: str, at: float, account_id: int | None, action: str, subject: str, detail: Mapping[str, Any]
) -> str:
    body = json.dumps([previous, repr(at), account_id, action, subject, detail], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode()).hexdigest()


def note(
    connection: Connection,
    at: float,
    account_id: int | None,
    action: str,
    subject: str,
    **detail: str | int | float | bool,
) -> None:
    """Add one event; details are few words and numbers, never a secret or a rater's text."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7303014)"))  # one chain, so one writer at a time
    last = connection.execute(select(event.c.hash).order_by(event.c.id.desc()).limit(1)).scalar() or START
    digest = _hash(last, at, account_id, action, subject, detail)
    values = {"action": action, "subject": subject[:160], "detail": detail, "hash": digest}
    insert_one(connection, event, at=at, account_id=account_id, **values)


SHORT = 60  # letters that a value may have to stand in the log


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """What differs between two states, as `old → new` for each name; of a long text its length."""
    found = {name: (old.get(name), value) for name, value in new.items() if old.get(name) != value}
    return {name: f"{_short(before, after)} → {_short(after, before)}" for name, (before, after) in found.items()}


def _short(value: Any, other: Any) -> str:
    if max(len(str(value)), len(str(other))) > SHORT:
        return f"{len(str(value)):,} letters"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "nothing"


def events(connection: Connection, limit: int = 200) -> Sequence[AnyRow]:
    return connection.execute(select(event).order_by(event.c.id.desc()).limit(limit)).all()


def broken_at(connection: Connection) -> int:
    """The first event that doesn't fit the one before it, by number; 0: the chain is whole."""
    last = START
    for row in connection.execute(select(event).order_by(event.c.id)):
        if row.hash != _hash(last, row.at, row.account_id, row.action, row.subject, row.detail):
            return int(row.id)
        last = row.hash
    return 0
