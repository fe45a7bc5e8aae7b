"""Bradley-Terry: the odds that one answer is preferred to another are exp(score − score).

P(c ≻ r) = σ(s_c − s_r). Trained on all C(G,2) pairs of a ranking, each weighing 1/C(G,2) (Ouyang 2022, eq. 1), with
margins (Llama 2, eq. 2), ties as the soft label 1/2, and centering (Eisenstein 2023).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from heedful.batches import LossOutput, PairBatch


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, *, target: Tensor, margin: Tensor, weight: Tensor, centering: float = 0.0
) -> LossOutput:
    """Weighted sum over P pairs, counted by the sum of weights. All tensors are (P,), scores in log-odds.

    `target` is the probability that `chosen` is preferred (1, or 0.5 for a tie), `margin` by how much it must win.
    """
    gap = chosen - rejected
    z = gap - margin
    # −[t log σ(z) + (1 − t) log σ(−z)]; with t = 1 this is −log σ(s_c − s_r − m)
    losses = -(target * logsigmoid(z) + (1 - target) * logsigmoid(-z))
    if centering:
        losses = losses + centering * (chosen + rejected).square()  # c (s_c + s_r)²
    return LossOutput(
        loss=(weight * losses).sum(),
        count=weight.sum(),
        metrics={
            "reward/accuracy": (weight * agreement(gap.detach(), target)).sum(),
            "reward/margin": (weight * gap.detach()).sum(),
        },
    )


def agreement(gap: Tensor, target: Tensor) -> Tensor:
    """Chance that the order of the scores is the order of a label drawn from `target`; equal scores count half. (P,)"""
    return 0.5 + (target - 0.5) * torch.sign(gap)


def bradley_terry_objective(centering: float = 0.0) -> Callable[[nn.Module, PairBatch], LossOutput]:
    """The objective of a reward model on packed pairs: every answer is read once, however many pairs it stands in."""

    def objective(model: nn.Module, batch: PairBatch) -> LossOutput:
        scores = model(batch.packed)  # (B,)
        return bradley_terry_loss(
            scores[batch.chosen],
            scores[batch.rejected],
            target=batch.target,
            margin=batch.margin,
            weight=batch.weight,
            centering=centering,
        )

    return objective
