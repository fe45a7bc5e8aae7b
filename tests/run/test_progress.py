"""Lines of progress where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from heedful.run import progress


def test_the_estimate_begins_behind_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 20.0, *(20.0 + step for step in range(1, 40))])  # a first step that compiles, then one a second
    said = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=said, width=80))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = progress.Progress("sft", 100)
    for _ in range(17):
        shown.advance(note="loss 1")
    first, second = said.getvalue().splitlines()
    assert first.split() == ["sft", "1/100", "loss", "1"]
    assert second.split() == ["sft", "17/100", "83", "s", "left", "loss", "1"]
