"""Intervals: known values, laws, and coverage in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.evaluate.rates import newcombe, wilson
from heedful.evaluate.statistics import TwoWay, clustered_bootstrap, holm, t_interval


def test_wilson_known_value() -> None:
    assert wilson(85, 100) == pytest.approx((0.767, 0.907), abs=5e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_holds_the_rate_and_mirrors(n: int, data: st.DataObject) -> None:
    k = data.draw(st.floats(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_newcombe_known_value_and_sign() -> None:
    # Newcombe 1998, table II, example (a): 56/70 − 48/80, method 10
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-4)
    low, high = newcombe(0, 1000, 0, 1000)
    assert low == pytest.approx(-high) and 0.003 < high < 0.005


def test_clustered_bootstrap_is_wider_where_clusters_agree() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 20)
    values = rng.normal(size=20)[groups]
    low, high = clustered_bootstrap(values, groups.tolist(), np.random.default_rng(1))
    narrow_low, narrow_high = clustered_bootstrap(values, range(400), np.random.default_rng(1))
    assert high - low > 3 * (narrow_high - narrow_low)
    assert low < values.mean() < high


def test_weighted_bootstrap_is_of_the_ratio() -> None:
    low, high = clustered_bootstrap([2.0, 4.0, 6.0], range(3), np.random.default_rng(0), weights=[1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2.0, 2.0))  # every document has ratio 2, whatever its size


def test_two_way_interval_covers_at_its_level() -> None:
    """Crossed template and slot effects: the true mean is inside about 95 % of the intervals."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(150):
        template, slot = rng.integers(30, size=300), rng.integers(120, size=300)
        values = rng.normal(0, 0.3, 30)[template] + rng.normal(0, 0.3, 120)[slot] + rng.normal(0, 1, 300)
        interval = TwoWay(template.tolist(), slot.tolist(), rng, draws=300).interval(values)
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / 150 <= 0.995


def test_two_way_is_at_least_as_wide_as_either_way() -> None:
    rng = np.random.default_rng(3)
    template, slot = np.repeat(np.arange(10), 30), np.tile(np.arange(30), 10)
    values = rng.normal(size=10)[template] + 3 * rng.normal(size=30)[slot]
    both = TwoWay(template.tolist(), slot.tolist(), np.random.default_rng(0)).interval(values)
    one = TwoWay(template.tolist(), template.tolist(), np.random.default_rng(0)).interval(values)
    assert both.se > 1.2 * one.se


def test_two_way_knows_no_spread_where_there_is_none_and_one_cluster_is_no_way() -> None:
    flat = TwoWay(range(8), range(8), np.random.default_rng(0)).interval([1.0] * 8)
    assert (flat.low, flat.high, flat.se) == (1.0, 1.0, 0.0)
    single = TwoWay(["t"] * 40, range(40), np.random.default_rng(0)).interval([0.0, 1.0] * 20, (0, 1))
    assert 0.3 < single.low < 0.5 < single.high < 0.7


def test_p_value_of_an_interval() -> None:
    interval = TwoWay(range(101), range(101), np.random.default_rng(0)).interval(np.linspace(-1, 1, 101))
    assert interval.p() == pytest.approx(1.0, abs=1e-6)
    assert interval.p(0.2) < 0.01


def test_t_interval_hand_worked() -> None:
    # mean 2, sd 1, n 3: 2 ± 4.3027 / √3
    interval = t_interval([1.0, 2.0, 3.0])
    assert (interval.low, interval.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert t_interval([1.0]).high == float("inf")


def test_holm_hand_worked() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
