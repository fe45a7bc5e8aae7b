"""Binary classifier optimisation (Jung 2024, arXiv:2404.04656)."""

from __future__ import annotations

from math import log

from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.answers import AnswerLoss, Answers


def bco_loss(answers: Answers, *, beta: float) -> AnswerLoss:
    """−log σ(β d − δ) for a wanted answer, −log σ(δ − β d) for another. (B,)

    δ is halfway between the mean rewards of wanted and unwanted answers. At π = π_ref it is ln 2.
    """
    reward = beta * answers.ratio
    advantage = reward - answers.baseline
    loss = -answers.desirable * logsigmoid(advantage) - answers.undesirable * logsigmoid(-advantage)
    return AnswerLoss(loss, log(2) * (answers.desirable + answers.undesirable), reward, advantage)
