"""Agreement: hand-worked values, laws, independent oracles, and the coverage of the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from heedful.feedback.agreement import (
    cohen_kappa,
    count_table,
    fleiss_kappa,
    interval_alpha,
    krippendorff_alpha,
    mean_tau_b,
    rater_pairs,
    raw_agreement,
    tau_b,
    unanimous,
)

RNG = np.random.default_rng(5)
LONG = [  # (unit, value) of an incomplete design: two to five ratings a unit
    (unit, int(np.clip(RNG.integers(0, 5) // 2 + RNG.integers(0, 3), 0, 4)))
    for unit in range(60)
    for _ in range(2 + unit % 4)
]
UNIT, VALUE = (np.array(column) for column in zip(*LONG, strict=True))


def test_worked_by_hand() -> None:
    counts = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0], [2.0, 0.0]])
    assert raw_agreement(counts).estimate() == pytest.approx(3 / 4)
    assert unanimous(counts).estimate() == pytest.approx(3 / 4)
    chance = (5 / 8) ** 2 + (3 / 8) ** 2
    assert fleiss_kappa(counts).estimate() == pytest.approx((3 / 4 - chance) / (1 - chance))
    # α: coincidences [[4, 1], [1, 2]], n = (5, 3): D_o = 2, D_e = 2·15/7
    assert krippendorff_alpha(counts).estimate() == pytest.approx(1 - 2 / (30 / 7))
    assert tau_b([0, 1, 2], [0, 2, 1]) == pytest.approx(1 / 3)
    assert tau_b([0, 0, 1], [0, 1, 1]) == pytest.approx(1 / 2), "one concordant pair of √(2·2)"


def test_perfect_opposite_and_no_variation() -> None:
    same = np.array([0, 1, 2, 1, 0])
    assert cohen_kappa(same, same, 3).estimate() == pytest.approx(1.0)
    assert cohen_kappa([0, 1, 0, 1], [1, 0, 1, 0], 2).estimate() == pytest.approx(-1.0)
    assert tau_b([0, 1, 2], [2, 1, 0]) == pytest.approx(-1.0)
    assert np.isnan(krippendorff_alpha(np.array([[2.0, 0.0], [3.0, 0.0]])).estimate()), "nothing varies"
    assert np.isnan(tau_b([0, 0, 0], [0, 1, 2]))


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohen_equals_statsmodels(weights: str) -> None:
    oracle = pytest.importorskip("statsmodels.stats.inter_rater")
    first, second = RNG.integers(0, 4, 80), RNG.integers(0, 4, 80)
    second[::2] = first[::2]
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    wt = None if weights == "none" else weights
    expected = oracle.cohens_kappa(table, wt=wt, return_results=True).kappa
    assert cohen_kappa(first, second, 4, weights).estimate() == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]


def test_fleiss_equals_statsmodels() -> None:
    oracle = pytest.importorskip("statsmodels.stats.inter_rater")
    counts = RNG.multinomial(5, [0.5, 0.3, 0.2], size=70).astype(float)
    assert fleiss_kappa(counts).estimate() == pytest.approx(oracle.fleiss_kappa(counts), abs=1e-12)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_equals_krippendorff(level: str) -> None:
    oracle = pytest.importorskip("krippendorff")
    counts = count_table(UNIT, VALUE, 5)
    expected = oracle.alpha(value_counts=counts.astype(int), value_domain=[0, 1, 2, 3, 4], level_of_measurement=level)
    ours = interval_alpha(UNIT, VALUE) if level == "interval" else krippendorff_alpha(counts, level)  # type: ignore[arg-type]
    assert ours.estimate() == pytest.approx(expected, abs=1e-12)


def test_interval_alpha_knows_no_origin() -> None:
    far = interval_alpha(UNIT, VALUE + 1e6).estimate()
    assert far == pytest.approx(interval_alpha(UNIT, VALUE).estimate(), abs=1e-9)


def test_tau_b_equals_scipy() -> None:
    for _ in range(50):
        a, b = RNG.integers(0, 4, 7), RNG.integers(0, 4, 7)
        assert tau_b(a, b) == pytest.approx(kendalltau(a, b).statistic, abs=1e-12, nan_ok=True)
    sets = [[[0, 1, 2], [0, 1, 2], [2, 1, 0]], [[0, 0, 0], [0, 1, 2]]]
    assert mean_tau_b(sets).estimate() == pytest.approx(-1 / 3), "the pair without a τ is left out"


def test_every_two_ratings_of_a_unit_by_different_raters() -> None:
    one, two = rater_pairs([7, 3, 7, 7, 5], [2, 0, 1, 0, 4])
    assert sorted(zip(one.tolist(), two.tolist(), strict=True)) == [(2, 0), (3, 0), (3, 2)]
    assert rater_pairs([1, 2], [0, 0])[0].size == 0


def test_redrawing_clusters_is_wider_where_their_units_stand_together() -> None:
    """Ten units a cluster that are copies of each other carry the information of one."""
    counts = np.repeat(RNG.multinomial(4, [0.6, 0.4], size=40), 10, axis=0).astype(float)
    alone = raw_agreement(counts).interval(np.arange(400), np.random.default_rng(0))
    together = raw_agreement(counts).interval(np.repeat(np.arange(40), 10), np.random.default_rng(0))
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.25)


def test_intervals_cover_the_truth() -> None:
    """Two raters of accuracy 0.8 on even pairs: raw agreement 0.68, κ 0.36."""
    hits = [0, 0]
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 120)
        said = np.stack([np.where(rng.random(120) < 0.8, truth, 1 - truth) for _ in range(2)], axis=1)
        counts = np.stack([(said == 0).sum(1), (said == 1).sum(1)], axis=1).astype(float)
        for place, (statistic, value) in enumerate(((raw_agreement(counts), 0.68), (fleiss_kappa(counts), 0.36))):
            interval = statistic.interval(np.arange(120), rng, draws=300)
            hits[place] += interval.low <= value <= interval.high
    assert all(0.90 <= hit / 150 <= 0.99 for hit in hits), hits
