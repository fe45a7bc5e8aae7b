"""Best-of-n: what the best of n answers is worth, and how far such a policy is from the one that wrote them.

An answer y has probability p(y); F is the distribution of its score. Ties are broken at random.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor


def best_of_n_weights(count: int, n: int) -> Tensor:
    """The chance that the i-th worst of `count` answers is the best of n drawn from them: C(i−1, n−1)/C(count, n).

    (Nakano 2021, appendix I.) Raises ValueError unless 1 ≤ n ≤ count. (count,) float64, summing to 1
    """
    if not 1 <= n <= count:
        raise ValueError(f"the best of {n} can't be estimated from {count} answers")
    i = torch.arange(count - 1, 0, -1, dtype=torch.float64)
    steps = (i - n + 1).clamp(min=0.0) / i  # C(i−1, n−1)/C(i, n−1), from the best answer's n/count downwards
    return torch.cat([steps.new_tensor([n / count]), steps]).cumprod(0).flip(0)


def best_of_n_mean(proxy: Tensor, gold: Tensor, n: int) -> Tensor:
    """Unbiased estimate of E[gold of the answer that the proxy ranks first of n]. (count,), (count,) -> ()

    Answers of equal proxy score share their weights, so that their order does not matter.
    """
    weights = best_of_n_weights(len(proxy), n).to(gold.device)
    order = proxy.argsort()
    _, place = proxy[order].unique_consecutive(return_inverse=True)
    total, size = (
        torch.zeros(len(proxy), dtype=torch.float64, device=gold.device).index_add(0, place, v)
        for v in (weights, torch.ones_like(weights))
    )
    return ((total / size)[place] * gold[order].double()).sum()


def best_of_n_distribution(probabilities: Tensor, scores: Tensor, n: int) -> Tensor:
    """π_bon(y) = p(y)/P(score = s) · (F(s)^n − F(<s)^n): the best of n draws, s the score of y. (outcomes,) -> same"""
    p = probabilities.double()
    _, place = scores.unique(return_inverse=True)  # in rising order
    level = torch.zeros(int(place.max()) + 1, dtype=p.dtype, device=p.device).index_add(0, place, p)  # P(score = s)
    up_to = level.cumsum(0)
    below = up_to - level
    share = up_to.pow(n) - below.clamp(min=0.0).pow(n)
    return p / level[place] * share[place]


def best_of_n_kl(probabilities: Tensor, scores: Tensor, n: int) -> Tensor:
    """KL(best-of-n ‖ p), exactly, over a finite set of answers. (outcomes,), (outcomes,) -> () nats

    At most log n − (n−1)/n, and far less where few answers carry the probability (Beirami 2024).
    """
    p = probabilities.double()
    best = best_of_n_distribution(p, scores, n)
    terms = best * (best.clamp(min=1e-300).log() - p.clamp(min=1e-300).log())
    return torch.where(best > 0, terms, torch.zeros_like(terms)).sum()


def best_of_n_kl_bound(n: int) -> float:
    """log n − (n−1)/n: the KL of best-of-n where no two answers are alike (Stiennon 2020, appendix G.3)."""
    return log(n) - (n - 1) / n
