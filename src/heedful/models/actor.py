"""What `fit` trains where a policy practises without a critic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.batches import PackedBatch
from heedful.models.heads import Policy
from heedful.ops.logprobs import chunked_kl


class Actor(nn.Module):
    """A policy alone."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: PackedBatch, text: PackedBatch, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of every target; zeros; and of every target of a text mixed in, at temperature 1.

        `text` may hold no sequence at all. -> (N,), (N,), (targets of the text,)
        """
        logprobs: Tensor = self.policy(batch, temperature)
        return logprobs, logprobs.new_zeros(logprobs.shape), _text(self.policy, text, logprobs)


class LeashedActor(nn.Module):
    """A policy that says, with a gradient, how far it is from the reference at every token."""

    def __init__(self, policy: Policy, reference: Policy) -> None:
        super().__init__()
        self.policy = policy
        self._reference = (reference,)  # no part of what is trained or saved

    @property
    def outside(self) -> tuple[nn.Module, ...]:
        """Networks that it asks, and that are no part of it."""
        return self._reference

    def forward(self, batch: PackedBatch, text: PackedBatch, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """As an Actor's, with the exact KL to the reference over the vocabulary at every target. -> (N,), (N,), (M,)"""
        (reference,) = self._reference
        hidden, size = self.policy.hidden(batch), self.policy.vocabulary
        logprobs = self.policy.logprobs(hidden, batch.target_ids, temperature)
        with torch.no_grad():
            other = reference.hidden(batch)
        kl = chunked_kl(hidden, self.policy.head, other, reference.head, vocabulary=size, temperature=temperature)
        return logprobs, kl, _text(self.policy, text, logprobs)


def _text(policy: Policy, text: PackedBatch, logprobs: Tensor) -> Tensor:
    mixed: Tensor = policy(text) if len(text.input_ids) else logprobs.new_zeros(0)
    return mixed
