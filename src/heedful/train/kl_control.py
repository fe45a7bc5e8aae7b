"""The leash: its coefficient, fixed or steered towards a target (Ziegler 2019, section 2.2), and where it is tied."""

from __future__ import annotations

import torch

from heedful.config import KLControl
from heedful.models.heads import Policy

BOUND = 0.2  # the largest relative error that one rollout may report


def next_coefficient(control: KLControl, coefficient: float, kl: float, episodes: int) -> float:
    """β for the next rollout, from this one's mean sequence KL (nats) over `episodes` answers.

    Adaptive: e = clip(KL/target − 1, ±0.2), β ← β (1 + e · episodes/horizon). Too far from the reference raises β.
    """
    match control.type:
        case "fixed":
            return coefficient
        case "adaptive":
            error = min(max(kl / control.target - 1.0, -BOUND), BOUND)
            return coefficient * (1.0 + error * episodes / control.horizon)


@torch.no_grad()
def follow(reference: Policy, policy: Policy, ema: float) -> None:
    """reference ← (1 − ema) reference + ema policy, in place (Xu 2024; Gorbatovski 2024). 0 leaves it where it is."""
    if ema:
        for old, new in zip(reference.parameters(), policy.parameters(), strict=True):
            old.lerp_(new, ema)
