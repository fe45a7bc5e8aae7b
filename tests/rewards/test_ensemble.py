"""Ensembles: hand-worked combinations, and which over-optimisation they cure and which they don't, in simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from heedful.ops.best_of_n import best_of_n_mean
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


def best_of_n(proxy: Floats, gold: Floats, n: int) -> float:
    """Mean gold of the best of n by proxy, over all subsets of n of each row's samples."""
    rows = zip(torch.from_numpy(proxy), torch.from_numpy(gold), strict=True)
    return float(torch.stack([best_of_n_mean(*row, n) for row in rows]).mean())


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
