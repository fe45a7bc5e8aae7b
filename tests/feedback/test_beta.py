"""The beta quantile against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from heedful.feedback.beta import beta_quantile, beta_share

SHAPES = [0.05, 0.3, 0.5, 1.0, 1.7, 2.0, 5.5, 10.45, 29.9, 120.0, 3000.0]


@pytest.mark.parametrize("a", SHAPES)
def test_it_is_scipys(a: float) -> None:
    for b in SHAPES:
        for q in (0.001, 0.2, 0.5, 0.8, 0.975):
            wanted = float(stats.beta.ppf(q, a, b))
            assert beta_quantile(q, a, b) == pytest.approx(wanted, rel=1e-9, abs=1e-9), (q, a, b)
            assert beta_share(0.37, a, b) == pytest.approx(float(stats.beta.cdf(0.37, a, b)), rel=1e-9, abs=1e-12)


def test_by_hand() -> None:
    assert beta_quantile(0.8, 1, 1) == pytest.approx(0.8, abs=1e-15)
    assert beta_quantile(0.5, 2, 1) == pytest.approx(0.5**0.5, abs=1e-15)  # I_x(2, 1) = x²
    assert (beta_share(0, 2, 3), beta_share(1, 2, 3)) == (0, 1)
