"""Step-zero laws: what must hold before the first update of any run. A run that breaks one stops and says which."""

from __future__ import annotations

from math import isfinite

from heedful.errors import DivergedError

BFLOAT16 = 0.1  # nats that two evaluations of one log-probability may differ by where products keep 8 bits


def _tolerance(precision: str, float32: float) -> float:
    return float32 if precision == "float32" else BFLOAT16


def _hold(law: str, found: float, allowed: float, mend: str) -> None:
    if not (isfinite(found) and found <= allowed):
        raise DivergedError(f"step-zero law broken: {law} (off by {found:.3g}, allowed {allowed:g}); {mend}")


def sampler_agrees(gap: float, precision: str, sampler: str) -> None:
    """`gap`: largest |log-probability of the sampler − of the trainer| over all sampled tokens. `precision`: the
    trainer's, `sampler`: the sampler's."""
    _hold(
        "the sampler's and the trainer's log-probabilities of the same tokens must agree",
        gap,
        max(_tolerance(precision, 1e-4), _tolerance(sampler, 1e-4)),
        "the two do not compute the same model: report the architecture, or use float32",
    )


def starts_at_reference(log_ratio: float, precision: str) -> None:
    """`log_ratio`: largest |log π − log π_ref| where the policy starts from the reference."""
    _hold(
        "a policy that starts from the reference must have KL 0 to it",
        log_ratio,
        _tolerance(precision, 1e-4),
        "policy and reference are not the same model, or one of them has dropout on",
    )


def first_ratio_is_one(log_ratio: float, precision: str) -> None:
    """`log_ratio`: largest |log π − log π_old| at the first update after a rollout."""
    _hold(
        "the first update after a rollout must have ratio 1",
        log_ratio,
        _tolerance(precision, 1e-4),
        "the policy's log-probabilities depend on how answers are packed, or dropout is on",
    )


def first_loss_is_as_stated(name: str, loss: float, stated: float, precision: str) -> None:
    """`loss`: a direct loss before the first update; `stated`: what it must be at π = π_ref, where h = 0."""
    _hold(
        f"the {name} loss must start at {stated:.6g}, as the policy is still the reference",
        abs(loss - stated) / max(1.0, abs(stated)),
        _tolerance(precision, 1e-4),
        "the reference's log-probabilities are not those of the model that training starts from",
    )
