"""Ctrl-C and SIGTERM end the work at once, or where it saves next; a second signal ends it there and then.

What is on disk is sound at any moment, so most of a stage can be broken off anywhere. What has work in hand that is
not saved yet (steps of training, a chunk of answers) holds the signal until it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Self

from heedful.errors import Killed, Stopped

WAITING = b"\nstopping as soon as the work in hand is saved; again, and it ends at once without it\n"
ENDED = b"\nended at once. To go on from what was saved: run the same command again\n"


class Stopper:
    """Context manager in which a signal raises Stopped; inside `held` it only asks."""

    def __init__(self) -> None:
        self.signal = 0
        self._held = False
        self._previous: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)  # type: ignore[assignment]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around work that is to be saved: a signal waits for `stop_if_asked`, or for the block's end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise Stopped when a signal has come. Call it where the state on disk is complete."""
        if self.signal:
            raise Stopped(self.signal)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            _say(ENDED)
            raise Killed(128 + number)
        self.signal = number
        if not self._held:
            raise Stopped(number)
        _say(WAITING)


def _say(line: bytes) -> None:
    """To the terminal, past the buffers: the signal may have come in the middle of a print."""
    with suppress(OSError):
        os.write(2, line)
