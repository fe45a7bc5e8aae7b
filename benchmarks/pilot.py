"""Choosing a side's settings: one question after the other, each by short runs, more of them where they are close."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.process import SideFailed

ROUNDS = 3  # of runs at most for one question; the first of each setting also warms it up
CLOSE = 1.2  # an answer stays in question while the best is at most so many times as fast
PATIENCE = 3.0  # times what the quickest run took, and 20 s: then a setting is given up
LONGEST = 900.0  # seconds for any run

Settings = Mapping[str, Any]
Run = Callable[[Settings, float], float]  # settings and most seconds -> a rate


def choose(
    run: Run, choices: Sequence[Sequence[Settings]], end: float
) -> tuple[dict[str, Any], dict[str, float | str]]:
    """The fastest settings, and what each one that was tried gave: its best rate, or the words it failed with.

    Each question is answered with what was chosen for those before it. One with a single answer needs no run. Past
    `end`, a time of the monotonic clock, each setting still has its one run. SideFailed: nothing runs.
    """
    chosen: dict[str, Any] = {}
    found: dict[str, float | str] = {}
    for options in choices:
        if len(options) == 1:
            chosen |= options[0]
            continue
        answers = [chosen | dict(option) for option in options]
        chosen = _fastest(run, answers, found, end)
    return chosen, found


def _fastest(run: Run, answers: Sequence[dict[str, Any]], found: dict[str, float | str], end: float) -> dict[str, Any]:
    """One question: rounds among those that are close to the best, while there is time."""
    open_, limit = list(answers), LONGEST
    for _ in range(ROUNDS):
        for answer in open_:
            begun = time.monotonic()
            try:
                rate = run(answer, limit)
            except SideFailed as error:
                found[spell(answer)] = str(error)
                continue
            limit = min(limit, PATIENCE * (time.monotonic() - begun) + 20)
            before = found.get(spell(answer), 0.0)
            found[spell(answer)] = max(rate, before) if isinstance(before, float) else rate
        rates = {spell(a): rate for a in answers if isinstance(rate := found[spell(a)], float)}
        if not rates:
            raise SideFailed("; ".join(f"{spell(a)}: {found[spell(a)]}" for a in answers))
        best = max(rates.values())
        open_ = [a for a in open_ if CLOSE * rates.get(spell(a), 0.0) >= best]
        if len(open_) == 1 or time.monotonic() > end:
            break
    return next(a for a in answers if rates.get(spell(a)) == best)


def spell(settings: Settings) -> str:
    """Settings in words."""
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "its defaults"
