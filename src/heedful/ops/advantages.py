"""Advantages over flat answers. Shapes: B answers, N tokens of all answers end to end, lengths (B,) summing to N."""

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


def whiten(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """(x − mean) / √(variance + 1e-8), with the moments of the whole rollout. (N,) -> (N,)"""
    return (values - mean) * torch.rsqrt(variance + 1e-8)
