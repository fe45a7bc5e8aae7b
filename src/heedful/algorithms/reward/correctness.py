"""Right or wrong: the chance that an answer (outcome) or a step of it (process) is right, learnt from labels.

−[y log σ(z) + (1 − y) log σ(−z)] with the label y at the last token of an answer (Cobbe 2021), or of each of its steps
(Uesato 2022; Lightman 2023). A process head has two logits, z = logit(right) − logit(wrong), which makes it the usual
cross-entropy. An answer weighs 1, however many steps it has.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from heedful.batches import CorrectnessBatch, LossOutput


def correctness_loss(log_odds: Tensor, label: Tensor, weight: Tensor) -> LossOutput:
    """Weighted sum over S labels, counted by the sum of weights. All tensors are (S,); `label` may be a chance."""
    losses = -(label * logsigmoid(log_odds) + (1 - label) * logsigmoid(-log_odds))
    right = ((log_odds > 0) == (label > 0.5)).float()
    return LossOutput(
        loss=(weight * losses).sum(), count=weight.sum(), metrics={"reward/accuracy": (weight * right).sum()}
    )


def outcome_objective(model: nn.Module, batch: CorrectnessBatch) -> LossOutput:
    """One logit: the log-odds that the answer is right."""
    return correctness_loss(model(batch.packed, batch.at).squeeze(-1), batch.label, batch.weight)


def process_objective(model: nn.Module, batch: CorrectnessBatch) -> LossOutput:
    """Two logits a step, wrong and right."""
    logits = model(batch.packed, batch.at)  # (S, 2)
    return correctness_loss(logits[:, 1] - logits[:, 0], batch.label, batch.weight)
