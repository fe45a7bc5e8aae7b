"""Importance weights between the sampler's arithmetic and the trainer's."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def truncated_importance(trainer: Tensor, sampler: Tensor, cap: float) -> Tensor:
    """min(π_trainer / π_sampler, cap) for each sampled token, a constant to the gradient. (N,), (N,) -> (N,)

    Where a sampler computes in fewer bits, tokens come from its policy and not quite from the trainer's. Multiplying
    each token's loss by this weight corrects for that; the cap trades a little bias for bounded variance (Ionides 2008,
    equation 2). `cap` is at least 1, 2 is common; at 0 every weight is 1.
    """
    if cap == 0:
        return torch.ones_like(trainer)
    if not cap >= 1:
        raise ValueError(f"a cap of {cap} would shrink tokens on which both agree: it must be at least 1")
    return (trainer.float() - sampler.float()).exp().clamp(max=cap)
