"""Step-zero laws: what must hold before the first update of any run. A run that breaks one stops and says which.

Two evaluations of the same log-probabilities may differ by FLOAT32 at any token. Where products keep 8 bits the
largest difference grows with the tokens looked at (half a nat among 80,000 of a real model): there the root mean square
counts.
"""

from __future__ import annotations

from math import isfinite

from torch import Tensor

from heedful.errors import DivergedError

FLOAT32 = 1e-4  # nats
BFLOAT16 = 0.1  # nats, in root mean square


def _tolerance(precision: str) -> float:
    return FLOAT32 if precision == "float32" else BFLOAT16


def _apart(gaps: Tensor, precision: str) -> float:
    """How far two evaluations are apart, as their precision asks; nothing is apart where there are none. (N,)"""
    if not gaps.numel():
        return 0.0
    return float(gaps.abs().max() if precision == "float32" else gaps.double().square().mean().sqrt())


def _hold(law: str, found: float, allowed: float, mend: str) -> None:
    if not (isfinite(found) and found <= allowed):
        raise DivergedError(f"step-zero law broken: {law} (off by {found:.3g}, allowed {allowed:g}); {mend}")


def sampler_agrees(gaps: Tensor, precision: str, sampler: str) -> None:
    """`gaps`: log-probability of the sampler − of the trainer, of all sampled tokens. `precision`: the trainer's,
    `sampler`: the sampler's. (N,)"""
    coarser = sampler if precision == "float32" else precision
    _hold(
        "the sampler's and the trainer's log-probabilities of the same tokens must agree",
        _apart(gaps, coarser),
        _tolerance(coarser),
        "the two do not compute the same model: report the architecture, or use float32",
    )


def starts_at_reference(log_ratio: Tensor, precision: str) -> None:
    """`log_ratio`: log π − log π_ref where the policy starts from the reference. (N,)"""
    _hold(
        "a policy that starts from the reference must have KL 0 to it",
        _apart(log_ratio, precision),
        _tolerance(precision),
        "policy and reference are not the same model, or one of them has dropout on",
    )


def first_ratio_is_one(log_ratio: Tensor, precision: str) -> None:
    """`log_ratio`: log π − log π_old at the first update after a rollout. (N,)"""
    _hold(
        "the first update after a rollout must have ratio 1",
        _apart(log_ratio, precision),
        _tolerance(precision),
        "the policy's log-probabilities depend on how answers are packed, or dropout is on",
    )


def first_loss_is_as_stated(name: str, loss: float, stated: float, precision: str) -> None:
    """`loss`: a direct loss before the first update; `stated`: what it must be at π = π_ref, where h = 0."""
    _hold(
        f"the {name} loss must start at {stated:.6g}, as the policy is still the reference",
        abs(loss - stated) / max(1.0, abs(stated)),
        _tolerance(precision),
        "the reference's log-probabilities are not those of the model that training starts from",
    )
