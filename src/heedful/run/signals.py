"""Ctrl-C and SIGTERM set a flag; the work saves at its next boundary and ends. A second signal ends it at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

from heedful.errors import Killed, Stopped


class Stopper:
    """Context manager that turns signals into a question: `if stopper.signal: save and stop`."""

    def __init__(self) -> None:
        self.signal = 0
        self._previous: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)  # type: ignore[assignment]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise Killed(128 + number)
        self.signal = number

    def stop_if_asked(self, how_to_go_on: str) -> None:
        """Raise Stopped when a signal has come. Call it where the state on disk is complete."""
        if self.signal:
            raise Stopped(self.signal, how_to_go_on)
