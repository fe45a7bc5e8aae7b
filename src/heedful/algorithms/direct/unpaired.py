"""The objective of every unpaired loss: one forward pass, one loss, and the metrics that paired losses have."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch import nn

from heedful.algorithms.direct.answers import AnswerLoss, Answers
from heedful.algorithms.direct.bco import bco_loss
from heedful.algorithms.direct.kto import kto_loss
from heedful.batches import LabelBatch, LossOutput
from heedful.config.direct import BCOLoss, KTOLoss, UnpairedLoss
from heedful.ops.logprobs import sequence_sums


def answer_loss(loss: UnpairedLoss, answers: Answers) -> AnswerLoss:
    """The loss that a config names, of every answer. (B,)"""
    match loss:
        case KTOLoss():
            return kto_loss(answers, beta=loss.beta, desirable=loss.desirable, undesirable=loss.undesirable)
        case BCOLoss():
            return bco_loss(answers, beta=loss.beta)
    assert_never(loss)


def unpaired_objective(loss: UnpairedLoss, wanted: float) -> Callable[[nn.Module, LabelBatch], LossOutput]:
    """What `fit` calls with a Policy. `wanted`: the share of desirable labels in all data, above 0 and below 1.

    Metrics of the wanted answers are divided by that share, so that over an epoch they are means over these answers
    alone; where pairs were split the share is ½ in every step, and they are so at once.
    """

    def objective(model: nn.Module, batch: LabelBatch) -> LossOutput:
        lengths = batch.packed.target_lengths
        answers = Answers(
            policy=sequence_sums(model(batch.packed), lengths),
            reference=sequence_sums(batch.reference, lengths),
            desirable=batch.desirable,
            undesirable=batch.undesirable,
            baseline=batch.baseline,
        )
        return _summed(answer_loss(loss, answers), answers, wanted)

    return objective


def _summed(found: AnswerLoss, answers: Answers, wanted: float) -> LossOutput:
    """Σ of the weighted losses, counted by the labels' weights."""
    count = (answers.desirable + answers.undesirable).sum()
    with torch.no_grad():
        up, down = answers.desirable / wanted, answers.undesirable / (1 - wanted)
        verdict = 0.5 + 0.5 * torch.sign(found.advantage)  # 1: taken to be wanted; ½: can't tell
        right = answers.desirable * verdict + answers.undesirable * (1 - verdict)
        metrics = {
            "loss/start": found.start.sum(),
            "rewards/chosen": (up * found.reward).sum(),
            "rewards/rejected": (down * found.reward).sum(),
            "rewards/margin": ((up - down) * found.reward).sum(),
            "rewards/accuracy": right.sum(),
            "logps/chosen": (up * answers.ratio).sum(),
            "logps/rejected": (down * answers.ratio).sum(),
        }
    return LossOutput(found.loss.sum(), count, metrics)
