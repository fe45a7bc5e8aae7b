"""Next-token prediction: pretraining counts every token, supervised fine-tuning the answer's tokens.

Which tokens count is the batch's business (its targets); the loss is the same.
"""

from __future__ import annotations

from torch import Tensor, nn

from heedful.batches import LossOutput, PackedBatch


def next_token_loss(logprobs: Tensor) -> LossOutput:
    """−Σ_t log π(y_t | y_<t), counted per token. logprobs (N,) -> sums"""
    return LossOutput(loss=-logprobs.sum(), count=logprobs.new_tensor(len(logprobs)), metrics={})


def lm_objective(model: nn.Module, batch: PackedBatch) -> LossOutput:
    """What `fit` calls with a Policy, or anything that gives (N,) log-probabilities of the targets."""
    return next_token_loss(model(batch))
