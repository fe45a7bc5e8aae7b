"""Regression on ratings: one head for each criterion learns the number that raters gave (Wang 2023, HelpSteer).

Each criterion is standardised over the training ratings, so that all weigh alike; what was not rated costs nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from heedful.batches import LossOutput, RatingBatch


def regression_loss(scores: Tensor, ratings: Tensor, known: Tensor) -> LossOutput:
    """Σ_b mean over the known criteria of (s − y)², counted by answers. All tensors are (B, K)."""
    share = known / known.sum(1, keepdim=True)  # an answer weighs 1, however many criteria were rated
    gap = scores - ratings
    return LossOutput(
        loss=(share * gap.square()).sum(),  # Σ (s − y)²
        count=known.new_tensor(float(len(known))),
        metrics={"reward/absolute_error": (share * gap.detach().abs()).sum()},
    )


def regression_objective(model: nn.Module, batch: RatingBatch) -> LossOutput:
    """The heads are read at each answer's last token."""
    return regression_loss(model(batch.packed, batch.packed.ends), batch.ratings, batch.known)
