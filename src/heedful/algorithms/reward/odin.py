"""ODIN: two heads, so that one of them takes what length explains and the other is left with quality (Chen 2024).

    r = r_Q + r_L:  L = BT(r) + λ_L (|ρ(r_Q, length)| − ρ(r_L, length)) + λ_O |W_Q · W_L|

ρ is Pearson's correlation over the answers of a step. Only r_Q is kept for what comes after.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import bradley_terry_loss
from heedful.batches import LossOutput, PairBatch

QUALITY, LENGTH = 0, 1  # the heads


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's ρ; 0 where one of the two doesn't vary. (B,), (B,) -> ()"""
    a, b = a - a.mean(), b - b.mean()
    rho: Tensor = (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-8)
    return rho


def odin_penalty(quality: Tensor, length: Tensor, tokens: Tensor) -> Tensor:
    """|ρ(r_Q, length)| − ρ(r_L, length) over B answers of `tokens` tokens. (B,) each -> ()"""
    return correlation(quality, tokens).abs() - correlation(length, tokens)


def odin_objective(
    head: nn.Linear, *, decorrelation: float, orthogonality: float
) -> Callable[[nn.Module, PairBatch], LossOutput]:
    """The objective on one whole step: a correlation is no sum over answers, so that a step can't be cut into parts.

    `head` holds both rows, (2, H). The penalties weigh as much as the mean over rankings.
    """

    def objective(model: nn.Module, batch: PairBatch) -> LossOutput:
        heads = model(batch.packed, batch.packed.ends)  # (B, 2)
        quality, length = heads[:, QUALITY], heads[:, LENGTH]
        both = quality + length
        out = bradley_terry_loss(
            both[batch.chosen], both[batch.rejected], target=batch.target, margin=batch.margin, weight=batch.weight
        )
        tokens = batch.packed.target_lengths.to(quality.dtype)
        penalty = decorrelation * odin_penalty(quality, length, tokens)
        penalty = penalty + orthogonality * (head.weight[QUALITY] @ head.weight[LENGTH]).abs()
        metrics = {
            "length/quality_head": out.count * correlation(quality.detach(), tokens),
            "length/length_head": out.count * correlation(length.detach(), tokens),
        }
        return LossOutput(out.loss + out.count * penalty, out.count, dict(out.metrics) | metrics)

    return objective
