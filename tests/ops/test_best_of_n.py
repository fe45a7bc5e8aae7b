"""Best-of-n against brute force: every subset, every n-tuple."""

from __future__ import annotations

from itertools import combinations, product
from math import log

import pytest
import torch

from heedful.ops.best_of_n import (
    best_of_n_distribution,
    best_of_n_kl,
    best_of_n_kl_bound,
    best_of_n_mean,
    best_of_n_weights,
)


@pytest.mark.parametrize(("count", "n"), [(12, 4), (5, 1), (5, 5), (1000, 300)])
def test_weights_sum_to_one(count: int, n: int) -> None:
    weights = best_of_n_weights(count, n)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert bool((weights[: n - 1] == 0).all())  # the n − 1 worst are never the best of n


@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_mean_is_that_over_every_subset(n: int) -> None:
    draw = torch.Generator().manual_seed(n)
    proxy, gold = torch.randn(7, generator=draw), torch.randn(7, generator=draw)
    subsets = [max(subset, key=lambda i: float(proxy[i])) for subset in combinations(range(7), n)]
    brute = sum(float(gold[i]) for i in subsets) / len(subsets)
    assert float(best_of_n_mean(proxy, gold, n)) == pytest.approx(brute, abs=1e-6)


def test_ties_are_broken_evenly_whatever_the_order() -> None:
    proxy, gold = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([4.0, 2.0, 9.0])
    assert float(best_of_n_mean(proxy, gold, 2)) == pytest.approx(3.0)  # one of the first two always wins
    assert float(best_of_n_mean(proxy.flip(0), gold.flip(0), 2)) == pytest.approx(3.0)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distribution_and_kl_are_those_of_every_tuple(n: int) -> None:
    """Five answers, two of equal score; a tie between draws is won by each draw alike."""
    p = torch.tensor([0.4, 0.25, 0.2, 0.1, 0.05], dtype=torch.float64)
    scores = torch.tensor([0.0, 1.0, 1.0, -1.0, 2.0])
    brute = torch.zeros(5, dtype=torch.float64)
    for draws in product(range(5), repeat=n):
        best = max(float(scores[i]) for i in draws)
        winners = [i for i in draws if float(scores[i]) == best]
        for i in winners:
            brute[i] += p[list(draws)].prod() / len(winners)
    assert best_of_n_distribution(p, scores, n).tolist() == pytest.approx(brute.tolist(), abs=1e-12)
    kl = float((brute * (brute / p).log()).nan_to_num().sum())
    assert float(best_of_n_kl(p, scores, n)) == pytest.approx(kl, abs=1e-9)


def test_the_formula_is_only_an_upper_bound() -> None:
    half = torch.tensor([0.5] + [0.5 / 99] * 99)  # the best answer has probability ½
    scores = torch.arange(100, 0, -1).float()
    assert float(best_of_n_kl(half, scores, 512)) == pytest.approx(log(2), abs=1e-3)
    assert best_of_n_kl_bound(512) == pytest.approx(5.24, abs=0.01)
    equal = torch.full((10,), 0.1)
    assert float(best_of_n_kl(equal, torch.arange(10).float(), 512)) == pytest.approx(log(10), abs=1e-3)
    many = torch.full((20_000,), 1 / 20_000)
    for n in (1, 2, 4, 16):  # where no two answers are alike the bound is reached
        assert float(best_of_n_kl(many, torch.arange(20_000).float(), n)) == pytest.approx(
            best_of_n_kl_bound(n), abs=1e-3
        )


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="best of 4"):
        best_of_n_weights(3, 4)
