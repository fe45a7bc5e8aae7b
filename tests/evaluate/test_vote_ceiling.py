"""The ceiling of human votes: recovered where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.evaluate.vote_ceiling import leave_one_out, vote_ceiling


@pytest.mark.parametrize("a", [0.3, 1.0, 4.0])
def test_planted_ceiling_is_found(a: float) -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(a, a, size=6000)
    votes = rng.binomial(5, p)
    planted = float(np.maximum(p, 1 - p).mean())
    total = [5] * len(votes)
    assert vote_ceiling(votes.tolist(), total) == pytest.approx(planted, abs=0.012)
    assert np.maximum(votes, 5 - votes).mean() / 5 > planted + 0.02  # the naive figure is too high
    assert leave_one_out(votes.tolist(), total) < planted + 0.01


def test_coin_flips_have_no_more_than_half() -> None:
    votes = np.random.default_rng(1).binomial(5, 0.5, size=4000)
    assert vote_ceiling(votes.tolist(), [5] * 4000) == pytest.approx(0.5, abs=0.03)


def test_leave_one_out_by_hand() -> None:
    # 2 of 3: each of the two sees 1 : 1 (half), the third sees 2 : 0 against itself
    assert leave_one_out([2], [3]) == pytest.approx(1 / 3)
    assert leave_one_out([3], [3]) == 1.0
