"""The coefficient of the KL penalty: fixed, or steered towards a target (Ziegler 2019, section 2.2)."""

from __future__ import annotations

from heedful.config import KLControl

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
