"""What an unpaired loss reads and what it gives back, answer by answer. B answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers judged one by one; one that won some pairs and lost others is a little of both."""

    policy: Tensor  # (B,) log π(y|x), summed over the answer's tokens
    reference: Tensor  # (B,) log π_ref(y|x)
    desirable: Tensor  # (B,) how much says that the answer is wanted
    undesirable: Tensor  # (B,) how much says that it is not
    baseline: Tensor  # () what the reward is measured against, constant over a whole step; 0 at π = π_ref

    @property
    def ratio(self) -> Tensor:
        """d = log π(y|x) − log π_ref(y|x). (B,)"""
        return self.policy - self.reference


@dataclass(frozen=True, slots=True)
class AnswerLoss:
    """A loss for each answer, weighted by its labels, and the reward by which it is told. All (B,)."""

    loss: Tensor
    start: Tensor  # what `loss` must be at π = π_ref
    reward: Tensor
    advantage: Tensor  # the reward beyond the baseline: above 0, the answer is taken to be wanted
