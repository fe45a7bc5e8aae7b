"""Telling other programs what happened: what is to be told waits in a table, so that a restart loses nothing.

What happened is found by looking at the judgements that came since the last look, so answering costs nothing for it.
Each happening has a key under a unique constraint: it is told once, however often it is found. A delivery that failed
is tried again later and later; whoever receives one twice, since their answer was lost, knows it by its number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, exists, func, select, true, update

from heedful.errors import InputError
from heedful.feedback.disputes import look_through
from heedful.feedback.prepared import AnyRow, insert_one
from heedful.feedback.projects import OPEN, Project, read_project
from heedful.feedback.store import Store, insert_new
from heedful.feedback.tables import assignment, delivery, item, judgement, prompt, webhook

Event = Literal["item_completed", "project_completed", "drift_alarm", "dispute_opened"]
EVENTS: tuple[Event, ...] = ("item_completed", "project_completed", "drift_alarm", "dispute_opened")
SLICE = 2000  # judgements that are looked at together
OVERLAP = 200  # judgements looked at again: PostgreSQL may show a lower number after a higher one
FIRST_WAIT, LONGEST_WAIT = 15.0, 6 * 3600.0  # seconds before a second try, and between late ones
GIVE_UP = 3 * 86400.0  # seconds after which nobody tries any more
AT_ONCE = 20  # letters that are claimed together
CLAIM = 1200.0  # seconds that whoever sends them has for them: a slow receiver may take most of a minute for each


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery to send."""

    id: int
    webhook_id: int
    url: str
    secret: str
    event: str
    body: str
    tries: int
    created_at: float


def signature(secret: str, at: int, body: str | bytes) -> str:
    """`t=…,v1=…`: HMAC-SHA256 of "time.body", so that neither can be changed and an old letter can't be sent anew."""
    raw = body.encode() if isinstance(body, str) else body
    digest = hmac.new(secret.encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def add_hook(connection: Connection, project_id: int, url: str, events: Sequence[Event], now: float) -> tuple[int, str]:
    """The webhook's number and its secret; what happened before is not told."""
    if not events:
        raise InputError(f"name at least one event: {', '.join(EVENTS)}")
    last = connection.execute(select(func.max(judgement.c.id))).scalar() or 0
    secret = f"whsec_{secrets.token_urlsafe(32)}"
    made = insert_one(
        connection, webhook, project_id=project_id, url=url, secret=secret, events=sorted(set(events)), active=True,
        cursor=last, created_at=now,
    )  # fmt: skip
    return made, secret


def hooks_of(connection: Connection, project_id: int) -> Sequence[AnyRow]:
    """id, url, events, and how its deliveries stand: done, waiting, given_up."""
    counts = [func.count().filter(delivery.c.state == state).label(state) for state in ("done", "waiting", "given_up")]
    query = (
        select(webhook.c.id, webhook.c.url, webhook.c.events, webhook.c.created_at, *counts)
        .outerjoin(delivery, delivery.c.webhook_id == webhook.c.id)
        .where(webhook.c.project_id == project_id, webhook.c.active)
        .group_by(webhook.c.id)
        .order_by(webhook.c.id)
    )
    # PostgreSQL compares no JSON, so the group is the key alone; the other columns hang on it.
    return connection.execute(query).all()


def any_hook(connection: Connection) -> bool:
    return bool(connection.execute(select(exists().where(webhook.c.active))).scalar_one())


def own_hook(connection: Connection, project_id: int, webhook_id: int) -> AnyRow:
    """InputError: the project has none of that number."""
    where = (webhook.c.id == webhook_id, webhook.c.project_id == project_id, webhook.c.active)
    row = connection.execute(select(webhook).where(*where)).first()
    if row is None:
        raise InputError(f"this project has no webhook {webhook_id}")
    return row


def drop_hook(connection: Connection, webhook_id: int) -> None:
    """Nothing more is sent; what was stays in the table."""
    connection.execute(update(webhook).where(webhook.c.id == webhook_id).values(active=False))


def deliveries_of(connection: Connection, webhook_id: int, limit: int = 50) -> Sequence[AnyRow]:
    """The newest deliveries."""
    columns = (delivery.c.id, delivery.c.event, delivery.c.state, delivery.c.tries, delivery.c.said)
    query = select(*columns, delivery.c.created_at, delivery.c.next_at).where(delivery.c.webhook_id == webhook_id)
    return connection.execute(query.order_by(delivery.c.id.desc()).limit(limit)).all()


def try_again(connection: Connection, webhook_id: int, now: float) -> int:
    """Whatever was not delivered is due now; returns how much that is."""
    where = (delivery.c.webhook_id == webhook_id, delivery.c.state != "done")
    values = {"state": "waiting", "next_at": now, "created_at": now}
    return int(connection.execute(update(delivery).where(*where).values(**values)).rowcount)


# ── what happened ───────────────────────────────────────────────────────────────────────────────────────────────────
def collect(store: Store, now: float) -> int:
    """Put what happened since the last look into the table; returns how many judgements were looked at.

    What takes long only reads, so that no rater waits for it.
    """
    with store.read() as connection:
        newest = connection.execute(select(func.max(judgement.c.id))).scalar() or 0
        hooks = connection.execute(select(webhook).where(webhook.c.active, webhook.c.cursor < newest)).all()
    for hook in hooks:
        last = min(newest, hook.cursor + SLICE)
        with store.write() as connection:
            of = read_project(connection, hook.project_id)
            look_through(connection, of, 0.1)
        with store.read() as connection:
            rows = _new_letters(connection, of, hook, last, now)
        with store.write() as connection:
            insert_new(connection, delivery, rows)
            connection.execute(update(webhook).where(webhook.c.id == hook.id).values(cursor=last))
    return sum(min(newest, hook.cursor + SLICE) - hook.cursor for hook in hooks)


def _new_letters(connection: Connection, of: Project, hook: AnyRow, last: int, now: float) -> list[dict[str, Any]]:
    touched = _touched(connection, of, max(0, hook.cursor - OVERLAP), last)
    if not touched:
        return []
    known = set(connection.execute(select(delivery.c.key).where(delivery.c.webhook_id == hook.id)).scalars())
    return [
        {
            "webhook_id": hook.id, "event": event, "key": key, "state": "waiting", "tries": 0, "next_at": now,
            "said": "", "created_at": now, "body": _body(of, event, now, data),
        }
        for event, key, data in _happenings(connection, of, touched, known)
        if event in hook.events and key not in known
    ]  # fmt: skip


def _touched(connection: Connection, of: Project, after: int, last: int) -> set[int]:
    query = (
        select(assignment.c.item_id)
        .join(judgement, judgement.c.assignment_id == assignment.c.id)
        .where(judgement.c.id > after, judgement.c.id <= last, assignment.c.project_id == of.id)
    )
    return set(connection.execute(query).scalars())


Happening = tuple[Event, str, Mapping[str, Any]]  # what, its key, what to tell of it


def _happenings(connection: Connection, of: Project, touched: set[int], known: set[str]) -> Iterator[Happening]:
    full = (item.c.part.in_(("main", "chat")), item.c.done >= item.c.target)
    rows = connection.execute(
        select(item.c.id, item.c.done, prompt.c.name).join(prompt).where(item.c.id.in_(touched), *full)
    ).all()
    for row in rows:
        yield "item_completed", f"item:{row.id}", {"item": row.id, "prompt": row.name, "judgements": row.done}
    if rows and _complete(connection, of):
        items = connection.execute(
            select(func.count()).where(item.c.project_id == of.id, item.c.part.in_(("main", "chat")))
        ).scalar_one()
        yield "project_completed", f"project:{items}", {"items": items}
    open_now = select(item.c.id, item.c.done, prompt.c.name).join(prompt)
    for row in connection.execute(open_now.where(item.c.project_id == of.id, item.c.dispute == OPEN)):
        yield "dispute_opened", f"dispute:{row.id}:{row.done}", {"item": row.id, "prompt": row.name}
    yield from _drifts(connection, of, touched, known)


def _complete(connection: Connection, of: Project) -> bool:
    """Whether every item has all its judgements; the index of open items comes first, and most often says no."""
    main = (item.c.project_id == of.id, item.c.part == "main")
    for lacking in ((*main, item.c.open == true()), (*main, item.c.done < item.c.target)):
        if connection.execute(select(exists().where(*lacking))).scalar_one():
            return False
    return True


def _drifts(connection: Connection, of: Project, touched: set[int], known: set[str]) -> Iterator[Happening]:
    """Alarms, but none that was told: later answers of other raters may shift its time, and it is the same while the
    rater's judging has not been as before in between."""
    checks = select(exists().where(item.c.id.in_(touched), item.c.part.in_(("gold", "probe"))))
    if not connection.execute(checks).scalar_one():
        return
    from heedful.feedback.drift import drifts  # numpy

    for one in drifts(connection, of, names=False):
        alarms = [key.rpartition(":")[2] for key in known if key.startswith(f"drift:{one.rater}:")]
        if one.at and not one.over and not any(float(at) >= one.since - 0.001 for at in alarms):
            told = {"rater": one.rater, "since": one.since, "said": one.sentence}
            yield "drift_alarm", f"drift:{one.rater}:{one.at:.3f}", told


def _body(of: Project, event: str, now: float, data: Mapping[str, Any]) -> str:
    """No text of a prompt, an answer or a rater: whoever may read those asks for them with a token."""
    told = {"event": event, "project": {"id": of.id, "name": of.name}, "at": now, "data": dict(data)}
    return json.dumps(told, ensure_ascii=False)


# ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def claim(connection: Connection, now: float, busy: Collection[int] = ()) -> list[Letter]:
    """What is due, oldest first, but for webhooks that are `busy`; it is nobody else's for a while."""
    columns = (delivery.c.id, delivery.c.webhook_id, delivery.c.event, delivery.c.body, delivery.c.tries)
    query = (
        select(*columns, delivery.c.created_at, webhook.c.url, webhook.c.secret)
        .join(webhook, webhook.c.id == delivery.c.webhook_id)
        .where(delivery.c.state == "waiting", delivery.c.next_at <= now, webhook.c.active, webhook.c.id.not_in(busy))
        .order_by(delivery.c.next_at, delivery.c.id)
        .limit(AT_ONCE)
        .with_for_update(of=delivery, skip_locked=True)
    )
    rows = connection.execute(query).all()
    mine = delivery.c.id.in_([row.id for row in rows])
    connection.execute(update(delivery).where(mine).values(next_at=now + CLAIM))
    return [
        Letter(row.id, row.webhook_id, row.url, row.secret, row.event, row.body, row.tries, row.created_at)
        for row in rows
    ]


def settle(connection: Connection, letter: Letter, arrived: bool, said: str, now: float) -> None:
    """Keep how a try went: done, to be tried later, or given up."""
    state = "done" if arrived else "given_up" if now - letter.created_at > GIVE_UP else "waiting"
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**letter.tries)
    values = {"state": state, "tries": letter.tries + 1, "said": said[:200], "next_at": now + wait}
    connection.execute(update(delivery).where(delivery.c.id == letter.id).values(**values))


def hand_back(connection: Connection, letters: Sequence[Letter], now: float) -> None:
    """Letters that were claimed and not tried, since one before them failed."""
    mine = delivery.c.id.in_([one.id for one in letters])
    connection.execute(update(delivery).where(mine).values(next_at=now + FIRST_WAIT))
