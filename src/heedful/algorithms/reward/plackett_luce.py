"""Plackett-Luce: a ranking is a row of choices, the best of all answers, then the best of those left.

P(τ) = Π_k exp(s_τ(k)) / Σ_{j ≥ k} exp(s_τ(j)) (Plackett 1975; Luce 1959; Ouyang 2022 takes pairs in its place). Two
answers make it Bradley-Terry. Answers that share a rank count as the mean over all orders that break the tie.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import agreement
from heedful.batches import ChoiceBatch, LossOutput


def plackett_luce_loss(scores: Tensor, *, member: Tensor, choice: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Σ_c w_c [log Σ_{i ∈ c} exp(s_i) − Σ_{i ∈ c} t_i s_i] over C choices with M members in all.

    `scores` (B,) in log-odds; `member`, `choice` and `target` (M,): which answer could be chosen in which choice, and
    the chance that it was; `weight` (C,). -> ()
    """
    s = scores[member]
    none = s.new_zeros(len(weight))
    top = none.scatter_reduce(0, choice, s.detach(), "amax", include_self=False)  # so that exp stays finite
    logsumexp = top + none.index_add(0, choice, (s - top[choice]).exp()).log()
    chosen = none.index_add(0, choice, target * s)
    return (weight * (logsumexp - chosen)).sum()


def plackett_luce_objective(centering: float = 0.0) -> Callable[[nn.Module, ChoiceBatch], LossOutput]:
    """The objective on packed rankings; the centering term is Bradley-Terry's, over the same pairs."""

    def objective(model: nn.Module, batch: ChoiceBatch) -> LossOutput:
        scores = model(batch.pairs.packed)  # (B,)
        loss = plackett_luce_loss(
            scores, member=batch.member, choice=batch.choice, target=batch.target, weight=batch.weight
        )
        pairs = batch.pairs
        chosen, rejected = scores[pairs.chosen], scores[pairs.rejected]
        if centering:
            loss = loss + centering * (pairs.weight * (chosen + rejected).square()).sum()  # c (s_i + s_j)²
        gap = (chosen - rejected).detach()
        metrics = {
            "reward/accuracy": (pairs.weight * agreement(gap, pairs.target)).sum(),
            "reward/margin": (pairs.weight * gap).sum(),
        }
        return LossOutput(loss=loss, count=pairs.weight.sum(), metrics=metrics)

    return objective
