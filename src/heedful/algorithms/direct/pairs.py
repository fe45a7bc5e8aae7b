"""What a paired loss reads and what it gives back, pair by pair. P pairs, B answers, N target tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heedful.batches import PreferenceBatch
from heedful.ops.logprobs import sequence_prefix_sums, sequence_sums


@dataclass(frozen=True, slots=True)
class Side:
    """The chosen or the rejected answer of each pair."""

    policy: Tensor  # (P,) log π(y|x), summed over the answer's tokens
    reference: Tensor  # (P,) log π_ref(y|x); 0 for losses that take no reference
    length: Tensor  # (P,) the answer's tokens

    @property
    def ratio(self) -> Tensor:
        """d = log π(y|x) − log π_ref(y|x). (P,)"""
        return self.policy - self.reference


@dataclass(frozen=True, slots=True)
class Pairs:
    """Chosen and rejected, and by how much the raters said that chosen must win (0 where nobody said)."""

    chosen: Side
    rejected: Side
    margin: Tensor  # (P,)

    @property
    def h(self) -> Tensor:
        """d_w − d_l: by how much more than the reference the policy prefers the chosen answer. (P,)"""
        return self.chosen.ratio - self.rejected.ratio

    def swap(self) -> Pairs:
        """The opposite judgements."""
        return replace(self, chosen=self.rejected, rejected=self.chosen)


@dataclass(frozen=True, slots=True)
class PairLoss:
    """A loss for each pair, and the implicit rewards by which it tells the answers apart. All (P,)."""

    loss: Tensor
    start: Tensor  # what `loss` must be at π = π_ref; a loss without a reference has no such law and repeats itself
    chosen: Tensor
    rejected: Tensor


@dataclass(frozen=True, slots=True)
class TokenPairs:
    """A packed batch of pairs with every token's log-probability, to be summed as a loss wants it."""

    batch: PreferenceBatch
    logprobs: Tensor  # (N,) of the policy
    collision: Tensor  # (N,) log Σ_v π(v)², for the losses that ask for it; else empty

    def whole(self) -> Pairs:
        """Sums over whole answers."""
        lengths = self.batch.pairs.packed.target_lengths
        policy, reference = sequence_sums(self.logprobs, lengths), sequence_sums(self.batch.reference, lengths)
        chosen, rejected = (
            Side(policy[which], reference[which], lengths[which].to(policy.dtype))
            for which in (self.batch.pairs.chosen, self.batch.pairs.rejected)
        )
        return Pairs(chosen, rejected, self.batch.pairs.margin)

    def shared(self) -> Pairs:
        """Sums over as many tokens as the pair's shorter answer has."""
        pairs = self.batch.pairs
        lengths = pairs.packed.target_lengths
        common = torch.minimum(lengths[pairs.chosen], lengths[pairs.rejected])  # (P,)
        chosen, rejected = (
            Side(
                sequence_prefix_sums(self.logprobs, lengths, which, common),
                sequence_prefix_sums(self.batch.reference, lengths, which, common),
                common.to(self.logprobs.dtype),
            )
            for which in (pairs.chosen, pairs.rejected)
        )
        return Pairs(chosen, rejected, pairs.margin)

    def concentration(self) -> tuple[Tensor, Tensor]:
        """mean_t [log π(y_t) − log Σ_v π(v)²] of chosen and rejected, without gradient. (P,), (P,)"""
        lengths = self.batch.pairs.packed.target_lengths
        mean = sequence_sums(self.logprobs.detach() - self.collision, lengths) / lengths  # (B,)
        return mean[self.batch.pairs.chosen], mean[self.batch.pairs.rejected]
