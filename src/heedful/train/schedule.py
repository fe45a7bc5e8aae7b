"""Learning rates as a pure function of the step: nothing to save, nothing to resume."""

from __future__ import annotations

from math import cos, pi

from heedful.config import Optim


def rate(step: int, total: int, optim: Optim) -> float:
    """The learning rate of step `step` (from 0) of `total`.

    Warm-up reaches the peak at its last step; from there the rate falls so that it would be `final` of the peak at
    step `total`, the first that is no longer taken.
    """
    if step < optim.warmup:
        return optim.lr * (step + 1) / optim.warmup
    done = (step - optim.warmup) / max(1, total - optim.warmup)
    match optim.schedule:
        case "constant":
            share = 1.0
        case "linear":
            share = 1.0 - done
        case "cosine":
            share = 0.5 * (1.0 + cos(pi * done))
    return optim.lr * (share if optim.schedule == "constant" else optim.final + (1.0 - optim.final) * share)
