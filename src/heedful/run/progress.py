"""Progress on the terminal: one bar with an estimate, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

console = Console(file=sys.stderr, highlight=False)
output = Console(highlight=False)  # what a command was asked for, so that a pipe takes it
LINE_EVERY = 15.0  # seconds between plain lines


class Progress:
    """`with Progress("sft", total) as p: p.advance(note="loss 1.2")`."""

    def __init__(self, what: str, total: int, *, done: int = 0, show: bool = True) -> None:
        self.what, self.total, self.done, self.show = what, total, done, show
        self._first, self._begun, self._last_line = -1, 0.0, time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description:>12}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not show or not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, by: int = 1, note: str = "") -> None:
        """Say that `by` more of the work is done."""
        self.done += by
        if note:
            self._bar.update(self._task, advance=by, note=note)
        else:
            self._bar.update(self._task, advance=by)
        now = time.monotonic()
        if self._first < 0:  # the first step also loads and compiles: the estimate begins behind it
            self._first, self._begun = self.done, now
        if self.show and not console.is_terminal and now - self._last_line > LINE_EVERY:
            self._last_line = now
            known = self.done - self._first
            left = f"{(self.total - self.done) * (now - self._begun) / known:.0f} s left" if known else ""
            console.print(f"{self.what:>12} {self.done}/{self.total} {left} {note}")
