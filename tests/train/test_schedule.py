"""Learning rates by hand."""

from __future__ import annotations

import pytest

from heedful.config import Optim
from heedful.train.schedule import rate


@pytest.mark.parametrize(
    ("schedule", "final", "warmup", "expected"),
    [
        ("constant", 0.0, 0, [1.0, 1.0, 1.0, 1.0]),
        ("linear", 0.0, 0, [1.0, 0.75, 0.5, 0.25]),
        ("linear", 0.5, 0, [1.0, 0.875, 0.75, 0.625]),
        ("linear", 0.0, 2, [0.5, 1.0, 1.0, 0.5]),
        ("cosine", 0.0, 0, [1.0, 0.853553, 0.5, 0.146447]),  # (1 + cos(π·k/4))/2
        ("cosine", 0.1, 0, [1.0, 0.868198, 0.55, 0.231802]),
        ("constant", 0.0, 8, [0.125, 0.25, 0.375, 0.5]),  # shorter than its own warm-up
    ],
)
def test_rates(schedule: str, final: float, warmup: int, expected: list[float]) -> None:
    optim = Optim(lr=1.0, schedule=schedule, final=final, warmup=warmup)
    assert [rate(step, 4, optim) for step in range(4)] == pytest.approx(expected, abs=1e-6)
