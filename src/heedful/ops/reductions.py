"""Sums, means and variances over all processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]  # sums a tensor over all processes


def alone(value: Tensor) -> Tensor:
    """The reduction of a single process."""
    return value


def global_mean(values: Tensor, reduce: Reduce = alone) -> Tensor:
    """Mean over the items of every process. (n,) -> ()"""
    total, count = reduce(torch.stack([values.sum(), values.new_tensor(float(values.numel()))])).unbind()
    return total / count


def mean_and_variance(values: Tensor, reduce: Reduce = alone) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the items of every process, in two passes. (n,) -> (), ()"""
    mean = global_mean(values, reduce)
    return mean, global_mean((values - mean).square(), reduce)
