"""Seconds by phase, each second counted once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from heedful.train import clock


def test_a_phase_does_not_count_the_phases_inside_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    own = clock.Clock()
    for _ in range(2):
        with own.phase("advantage"):
            now[0] += 1
            with own.phase("forward"):
                now[0] += 10
            now[0] += 100
    assert own.row() == {"time/forward": 20, "time/advantage": 202}
