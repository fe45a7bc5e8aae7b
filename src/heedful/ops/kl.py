"""Kullback-Leibler divergence from samples and exactly. One sign convention, held everywhere in heedful.

`log_ratio` is log p(y) − log q(y) at a token y that was drawn from **p**, the policy; q is the reference. Every
function here estimates, or is, KL(p ‖ q) ≥ 0. Estimators: Schulman, "Approximating KL divergence" (2020).

    k1 = log p/q            unbiased, also in its gradient where it stands in the reward; single values may be negative
    k2 = ½ (log p/q)²       biased, small variance; where it stands in a loss its gradient is that of the KL
    k3 = q/p − 1 − log q/p  unbiased, never negative; in a loss its gradient is biased
"""

from __future__ import annotations

import torch
from torch import Tensor


def k1(log_ratio: Tensor) -> Tensor:
    """log p/q. Any shape -> the same shape, nats."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """½ (log p/q)². Any shape -> the same shape."""
    return 0.5 * log_ratio.square()


def k3(log_ratio: Tensor) -> Tensor:
    """q/p − 1 − log(q/p) = expm1(−log_ratio) + log_ratio. Any shape -> the same shape, never negative."""
    return torch.expm1(-log_ratio) + log_ratio


def exact_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Σ_v p_v (log p_v − log q_v) over the last dimension. (..., V) log-probabilities -> (...,)"""
    return (log_p.exp() * (log_p - log_q)).sum(-1)
