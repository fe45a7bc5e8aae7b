"""The length-controlled rate recovers what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from heedful.evaluate.length_control import length_controlled


def test_wins_that_depend_on_length_alone_are_worth_half() -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(5, 4, 6000)  # the policy writes longer answers
    wins = (rng.random(6000) < expit(2.0 * np.tanh(difference / difference.std()))).astype(float)
    assert wins.mean() > 0.7
    assert length_controlled(wins, difference, np.ones(6000)) == pytest.approx(0.5, abs=0.03)


def test_wins_that_do_not_depend_on_length_stay() -> None:
    rng = np.random.default_rng(1)
    wins = (rng.random(6000) < 0.7).astype(float)
    assert length_controlled(wins, rng.normal(5, 4, 6000), np.ones(6000)) == pytest.approx(wins.mean(), abs=0.02)


def test_shorter_winners_gain() -> None:
    """A side that wins half while writing much less, where judges like length, would win more at equal length."""
    rng = np.random.default_rng(2)
    difference = rng.normal(-5, 4, 6000)
    wins = (rng.random(6000) < expit(1.5 + 2.0 * np.tanh(difference / difference.std()))).astype(float)
    assert length_controlled(wins, difference, np.ones(6000)) > wins.mean() + 0.1


@pytest.mark.parametrize(("outcome", "expected"), [(1.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_one_sided_tables_stay_finite(outcome: float, expected: float) -> None:
    rate = length_controlled(np.full(40, outcome), np.zeros(40), np.ones(40))
    assert rate == pytest.approx(expected, abs=0.01)


def test_swapping_the_sides_mirrors() -> None:
    rng = np.random.default_rng(3)
    wins, difference = rng.integers(0, 3, 500) / 2, rng.normal(size=500)
    weights = rng.uniform(0.5, 1.5, 500)
    there, back = length_controlled(wins, difference, weights), length_controlled(1 - wins, -difference, weights)
    assert there == pytest.approx(1 - back, abs=1e-8)
