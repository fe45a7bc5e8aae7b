"""Ensembles: hand-worked combinations, and which over-optimisation they cure and which they don't, in simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln

from heedful.records import Message, Prompt
from heedful.rewards import Score
from heedful.rewards.ensemble import EnsembleReward, combined

Floats = NDArray[np.float64]
N, SAMPLES, MEMBERS = 2048, 4096, 5


def test_hand_worked_combinations() -> None:
    scores = np.array([[1.0], [1.2], [2.6]])
    assert combined(scores, "mean").item() == pytest.approx(1.6)
    assert combined(scores, "worst").item() == pytest.approx(1.0)
    assert combined(scores, "penalised", 0.5).item() == pytest.approx(1.35, abs=5e-3)


class Fixed:
    def __init__(self, values: list[float]) -> None:
        self.values = values

    def score(self, prompts: Any, completions: Any) -> list[Score]:
        return [Score(value) for value in self.values]


def test_the_reward_tells_how_far_members_are_apart() -> None:
    prompts = [Prompt(id="p", messages=(Message("user", "x"),))] * 2
    one, two = EnsembleReward([Fixed([1.0, 5.0]), Fixed([3.0, 5.0])], "penalised", 0.5).score(prompts, ["a", "b"])
    assert (one.value, two.value) == (pytest.approx(1.5), pytest.approx(5.0))
    assert one.parts == {"mean": 2.0, "spread": 1.0} and two.parts["spread"] == 0.0


@cache
def weights(count: int, n: int) -> Floats:
    """The chance that each of `count` samples, from the worst, is the best of n of them: C(rank, n−1)/C(count, n)."""
    rank = np.arange(count)
    log = gammaln(rank + 1) - gammaln(n) - gammaln(np.maximum(rank - n + 2, 1))
    log -= gammaln(count + 1) - gammaln(n + 1) - gammaln(count - n + 1)
    return np.where(rank >= n - 1, np.exp(log), 0.0)


def best_of_n(proxy: Floats, gold: Floats, n: int) -> float:
    """Mean gold of the best of n by proxy, over all subsets of n of each row's samples."""
    order = np.argsort(proxy, axis=1)
    return float((np.take_along_axis(gold, order, axis=1) * weights(proxy.shape[1], n)).sum(1).mean())


def test_the_weights_are_those_of_every_subset() -> None:
    by_hand = np.zeros(6)
    for subset in combinations(range(6), 3):
        by_hand[max(subset)] += 1 / 20
    assert weights(6, 3) == pytest.approx(by_hand) and weights(SAMPLES, N).sum() == pytest.approx(1.0)


def curve(make: Callable[[np.random.Generator], tuple[Floats, Floats]], prompts: int = 24) -> dict[int, float]:
    rng = np.random.default_rng(0)
    proxy, gold = zip(*(make(rng) for _ in range(prompts)), strict=True)
    return {n: best_of_n(np.stack(proxy), np.stack(gold), n) for n in (1, 4, 16, 64, 256, N)}


def test_gaussian_noise_makes_no_hump() -> None:
    def make(rng: np.random.Generator) -> tuple[Floats, Floats]:
        gold = rng.normal(size=SAMPLES)
        return gold + rng.normal(size=SAMPLES), gold

    values = list(curve(make).values())
    assert abs(values[0]) < 0.05 and np.all(np.diff(values) > 0) and values[-1] == pytest.approx(2.4, abs=0.25)


def heavy(rng: np.random.Generator) -> Floats:
    return rng.standard_t(2, size=SAMPLES)


def test_heavy_tails_make_a_hump_that_decays_to_nothing() -> None:
    def make(rng: np.random.Generator) -> tuple[Floats, Floats]:
        gold = rng.normal(size=SAMPLES)
        return gold + heavy(rng), gold

    found = curve(make)
    peak = max(found, key=found.__getitem__)
    assert peak in (4, 16, 64) and found[peak] > 0.5 and found[N] < 0.35


@pytest.mark.parametrize(("taste", "hump"), [(1.0, False), (2.0, True), (4.0, True)])
def test_a_taste_for_length_overshoots_where_it_is_strong(taste: float, hump: bool) -> None:
    def make(rng: np.random.Generator) -> tuple[Floats, Floats]:
        content, length = rng.normal(size=SAMPLES), rng.normal(size=SAMPLES)
        return content + taste * length, content + length - 0.35 * length**2

    found = curve(make)
    assert (max(found, key=found.__getitem__) < N) == hump
    if hump:
        assert max(found.values()) - found[N] > 0.2


@pytest.fixture(scope="module")
def ends() -> dict[str, dict[str, float]]:
    """Gold of the best of 2048 by one member and by each combination; errors of their own, or one error for all."""
    rng, found = np.random.default_rng(1), dict[str, dict[str, list[float]]]()
    for _ in range(40):
        gold, common = rng.normal(size=SAMPLES), heavy(rng)
        own = np.stack([heavy(rng) for _ in range(MEMBERS)])
        for kind, errors in (("own", own), ("shared", np.tile(common, (MEMBERS, 1))), ("half", (own + common) / 2)):
            proxies = gold + errors
            ways = {
                "single": proxies[0],
                **{way: combined(proxies, way, 0.5) for way in ("mean", "worst", "penalised")},
            }
            for way, proxy in ways.items():
                value = best_of_n(proxy[None], gold[None], N)
                found.setdefault(kind, {}).setdefault(way, []).append(value)
    return {kind: {way: float(np.mean(values)) for way, values in ways.items()} for kind, ways in found.items()}


def test_errors_of_their_own_are_cured_by_worst_case_and_variance_and_not_by_the_mean(
    ends: dict[str, dict[str, float]],
) -> None:
    own = ends["own"]
    assert own["single"] < 0.4 and own["mean"] < 0.6
    assert own["worst"] > 2.3 and own["penalised"] > 2.3


def test_an_error_that_all_share_stays_whole(ends: dict[str, dict[str, float]]) -> None:
    assert len({round(value, 6) for value in ends["shared"].values()}) == 1 and ends["shared"]["single"] < 0.4
    assert max(ends["half"].values()) < 1.0
