"""How well anyone could predict single votes of people, from how the votes on each pair split. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaln

Floats = NDArray[np.float64]


def vote_ceiling(first: Sequence[int], total: Sequence[int]) -> float:
    """E max(p, 1 − p), where p is the share of all people who would choose the first of a pair.

    `first` of `total` votes were for the first; ties are left out. p follows a symmetric Beta(a, a), since which answer
    stands first is chance, with a by maximum likelihood of the beta-binomial. Taking each pair's own vote share for p
    would be too high: five coin flips look like agreement.
    """
    k, n = np.asarray(first, dtype=float), np.asarray(total, dtype=float)
    seen = n > 0
    k, n = k[seen], n[seen]

    found = minimize_scalar(
        lambda log_a: -float(log_likelihood(k, n, log_a).sum()), bounds=(-6.0, 8.0), method="bounded"
    )
    return float(ceiling_of(found.x))


def log_likelihood(first: Floats, total: Floats, log_a: ArrayLike) -> Floats:
    """log P of each pair's votes under the beta-binomial, but for what doesn't hang on a. Broadcasts."""
    a = np.exp(log_a)
    return np.asarray(betaln(first + a, total - first + a) - betaln(a, a))


def ceiling_of(log_a: ArrayLike) -> Floats:
    """½ + E|p − ½| = ½ + 4⁻ᵃ / (a B(a, a)), p ~ Beta(a, a)."""
    a = np.exp(log_a)
    return np.asarray(0.5 + np.exp(-2 * a * np.log(2) - np.log(a) - betaln(a, a)))


def leave_one_out(first: Sequence[int], total: Sequence[int]) -> float:
    """How often a vote agrees with the majority of the others on its pair; an even split counts half.

    A floor for the ceiling: the majority of a few is a noisy guess of what most people would say.
    """
    right = votes = 0.0
    for k, n in zip(first, total, strict=True):
        if n > 1:
            for own, others in ((k, k - 1), (n - k, n - k - 1)):  # votes for one side; others on that side
                right += own * (0.5 + 0.5 * np.sign(others - (n - 1) / 2))
                votes += own
    return right / votes
