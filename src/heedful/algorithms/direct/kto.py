"""Kahneman-Tversky optimisation (Ethayarajh 2024, arXiv:2402.01306)."""

from __future__ import annotations

from torch import sigmoid

from heedful.algorithms.direct.answers import AnswerLoss, Answers


def kto_loss(answers: Answers, *, beta: float, desirable: float, undesirable: float) -> AnswerLoss:
    """λ_D [1 − σ(β (d − z₀))] for a wanted answer, λ_U [1 − σ(β (z₀ − d))] for another. eq. 7 (B,)

    z₀ ≥ 0 is the policy's mean log-ratio on answers to other prompts. At π = π_ref it is ½ λ.
    """
    advantage = beta * (answers.ratio - answers.baseline)
    wanted, unwanted = desirable * answers.desirable, undesirable * answers.undesirable
    return AnswerLoss(
        loss=wanted * (1 - sigmoid(advantage)) + unwanted * (1 - sigmoid(-advantage)),
        start=0.5 * (wanted + unwanted),
        reward=beta * answers.ratio,
        advantage=advantage,
    )
