"""Short writes of many at once, put into one transaction: a commit waits for the disk, and so all wait for it once.

Each write is all or nothing by itself, in a savepoint, and is answered when the commit has ended. PostgreSQL does the
like by itself: there each write has a transaction of its own, and several go on at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from heedful.feedback.prepared import run
from heedful.feedback.store import Store

T = TypeVar("T")
MOST = 16  # writes of one transaction, so that nobody waits for many others
AT_ONCE = 8  # transactions of PostgreSQL


@dataclass(slots=True)
class _Write:
    act: Callable[[Connection], Any]
    soon: bool
    answer: Future[Any] = field(default_factory=Future)


class Together:
    """Writes to one database, from any thread, done in the order in which they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[_Write] = deque()
        self._threads = ThreadPoolExecutor(1 if store.sqlite else AT_ONCE, "writes")

    def write(self, act: Callable[[Connection], T], *, soon: bool = False) -> Future[T]:
        """What the act returns, once it is on the disk; what it raises, with nothing of it done.

        act: is given a connection in a transaction, and may be done twice, the first time for nothing. soon: as
        `Store.write_soon`.
        """
        one = _Write(act, soon)
        self._waiting.append(one)
        self._threads.submit(self._round)
        return one.answer

    def _round(self) -> None:
        """Do what waits by now, which may be nothing any more."""
        most = MOST if self._store.sqlite else 1
        writes: list[_Write] = []
        while self._waiting and len(writes) < most:
            try:
                one = self._waiting.popleft()
            except IndexError:  # another thread was faster
                break
            if one.answer.set_running_or_notify_cancel():  # from here on nobody takes it back
                writes.append(one)
        done = self._all(writes) if len(writes) > 1 else []
        for one, (value, fault) in zip(writes, done, strict=False):
            if fault is None:
                one.answer.set_result(value)
            else:
                one.answer.set_exception(fault)
        for one in writes[len(done) :]:
            self._alone(one)

    def _all(self, writes: list[_Write]) -> list[tuple[Any, Exception | None]]:
        """What each returned or raised; [] where the transaction came to nothing: whoever is to blame fails alone.

        That holds too of what ends a program, since those who wait would wait for ever.
        """
        begin = self._store.write_soon if all(one.soon for one in writes) else self._store.write
        done: list[tuple[Any, Exception | None]] = []
        try:
            with begin() as connection:
                for one in writes:
                    done.append(_within(connection, one.act))
        except BaseException:
            return []
        return done

    def _alone(self, one: _Write) -> None:
        begin = self._store.write_soon if one.soon else self._store.write
        try:
            with begin() as connection:
                value = one.act(connection)
        except BaseException as fault:
            one.answer.set_exception(fault)
        else:
            one.answer.set_result(value)


def _within(connection: Connection, act: Callable[[Connection], T]) -> tuple[T | None, Exception | None]:
    """What an act returns or raises, in a savepoint. DBAPIError: the database failed, and the transaction with it."""
    run(connection, "SAVEPOINT one")
    value, fault = None, None
    try:
        value = act(connection)
    except DBAPIError:
        raise
    except Exception as error:
        run(connection, "ROLLBACK TO one")
        fault = error
    run(connection, "RELEASE one")
    return value, fault
