"""Preference losses on answers sampled just now: online DPO (Guo 2024) and XPO (Xie 2024).

Shapes: B answers, P pairs, N tokens. Log-probabilities of an answer are sums over its tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from heedful.batches import DuelBatch, LossOutput
from heedful.config.rl import Contrastive, OnlineDPO
from heedful.ops.logprobs import sequence_sums


def preference(first: Tensor, second: Tensor, labels: str) -> Tensor:
    """The probability that the first answer is preferred, from what both are paid. (P,), (P,) -> (P,)

    soft: σ(r_1 − r_2) (Bradley-Terry); hard: 1 for the better, ½ for both where they are paid alike.
    """
    gap = first - second
    return torch.sigmoid(gap) if labels == "soft" else 0.5 * (1.0 + gap.sign())


def duel_loss(answers: Tensor, text_logprobs: Tensor, batch: DuelBatch, *, alpha: float) -> LossOutput:
    """Σ w [−p log σ(β h) − (1−p) log σ(−β h)] + α Σ_foreign w log π(y) − text. (B,), (M,) -> sums

    h = (log π − log π_ref)(first) − (log π − log π_ref)(second), as in DPO; its minimum is where σ(β h) = p. On soft
    labels that is π ∝ π_ref exp(r/β). α > 0 makes the reference's answers less likely (XPO, Algorithm 1): a bonus on
    everything else. `count` is the sum of the weights.
    """
    pairs, beta = batch.pairs, batch.kl_coefficient
    implicit = beta * (answers - batch.reference)  # (B,) the policy's implied rewards, up to β log Z
    margin = implicit[pairs.chosen] - implicit[pairs.rejected]
    each = -(pairs.target * logsigmoid(margin) + (1.0 - pairs.target) * logsigmoid(-margin))
    bonus = alpha * (pairs.weight * (batch.foreign * answers)[pairs.rejected]).sum()
    text = -batch.text.weight * text_logprobs.sum()
    duel = (pairs.weight * each).sum()
    with torch.no_grad():
        agrees = 0.5 * (1.0 + (margin * (pairs.target - 0.5)).sign())
        metrics = {
            "loss/policy": duel.detach(),
            "loss/bonus": bonus.detach(),
            "loss/text": text.detach(),
            "duels/margin": (pairs.weight * margin * (2.0 * pairs.target - 1.0).sign()).sum(),
            "duels/accuracy": (pairs.weight * agrees).sum(),
            "duels/certainty": (pairs.weight * (2.0 * pairs.target - 1.0).abs()).sum(),
        }
    return LossOutput(duel + bonus + text, pairs.weight.sum(), metrics)


def duel_objective(algorithm: Contrastive, temperature: float) -> Callable[[nn.Module, DuelBatch], LossOutput]:
    """What `fit` calls with an Actor. The temperature is the one that the answers were sampled at."""
    alpha = 0.0 if isinstance(algorithm, OnlineDPO) else algorithm.alpha

    def objective(model: nn.Module, batch: DuelBatch) -> LossOutput:
        packed = batch.pairs.packed
        logprobs, _, text_logprobs = model(packed, batch.text.packed, temperature)
        return duel_loss(sequence_sums(logprobs, packed.target_lengths), text_logprobs, batch, alpha=alpha)

    return objective
