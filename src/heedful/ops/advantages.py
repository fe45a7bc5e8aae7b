"""Advantages over flat answers. Shapes: B answers, N tokens of all answers end to end, lengths (B,) summing to N.

A group is the answers to one prompt: `groups` (B,) holds a number for each answer, equal within a group, in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor


def last_tokens(lengths: Tensor) -> Tensor:
    """Where each segment's last token stands in (N,). (B,)"""
    return lengths.cumsum(0) - 1


def gae(rewards: Tensor, values: Tensor, lengths: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman 2016, eq. 16) inside each answer. rewards, values (N,) -> (N,)

    `values[t]` is the critic's estimate before token t; behind an answer's last token the value is 0.
    """
    starts = lengths.cumsum(0) - lengths
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    columns = torch.arange(len(rewards), device=lengths.device) - starts[rows]
    longest = int(lengths.max())

    following = torch.cat([values[1:], values.new_zeros(1)])
    following[last_tokens(lengths)] = 0.0  # no value is carried over an answer's end
    delta = rewards + gamma * following - values  # δ_t = r_t + γ V_{t+1} − V_t
    grid = rewards.new_zeros(longest, len(lengths))  # time first; zeros behind each end start the recursion
    grid[columns, rows] = delta
    for t in range(longest - 2, -1, -1):
        grid[t] += gamma * lam * grid[t + 1]  # A_t = δ_t + γλ A_{t+1}
    return grid[columns, rows]


def whiten(values: Tensor) -> Tensor:
    """(x − mean) / √(variance + 1e-8), of a whole rollout. (N,) -> (N,)"""
    return (values - values.mean()) * torch.rsqrt(values.var(correction=0) + 1e-8)


def to_go(rewards: Tensor, lengths: Tensor) -> Tensor:
    """What is still to come at each token: Σ of its answer's rewards from it on. (N,) -> (N,)"""
    return gae(rewards, torch.zeros_like(rewards), lengths, gamma=1.0, lam=1.0)


def _sums(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """The sum and the size of each answer's group. (B,) -> (B,), (B,)"""
    _, place = groups.unique(return_inverse=True)
    sums, counts = (values.new_zeros(len(values)).index_add(0, place, v) for v in (values, torch.ones_like(values)))
    return sums[place], counts[place]


def centred(values: Tensor, groups: Tensor) -> Tensor:
    """x − mean of its group. (B,) -> (B,)"""
    sums, counts = _sums(values, groups)
    return values - sums / counts


def leave_one_out(values: Tensor, groups: Tensor) -> Tensor:
    """x − mean of the others in its group (Kool 2019) = G/(G−1) · (x − mean). Groups of at least two. (B,) -> (B,)"""
    sums, counts = _sums(values, groups)
    return values - (sums - values) / (counts - 1.0)


def standardised(values: Tensor, groups: Tensor) -> Tensor:
    """(x − mean)/(std + 1e-4) within its group, std with G − 1 below; 0 in a group of one. (B,) -> (B,)"""
    away = centred(values, groups)
    squares, counts = _sums(away.square(), groups)
    return away / ((squares / (counts - 1.0).clamp(min=1.0)).sqrt() + 1e-4)


def differs(values: Tensor, groups: Tensor) -> Tensor:
    """Whether an answer's group holds different values, so that there is something to learn from. (B,) -> (B,) bool"""
    _, place = groups.unique(return_inverse=True)
    lowest, highest = (
        torch.empty_like(values).scatter_reduce(0, place, values, f"a{end}", include_self=False)
        for end in ("min", "max")
    )
    return (lowest < highest)[place]  # compared as they are: a mean of equal float32 values may be off by an ulp
