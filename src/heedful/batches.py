"""What lives on the device: packed batches for every stage, and what an objective returns. No Optional tensors.

Legend of shapes: B sequences, T tokens of all sequences laid end to end, N target tokens, P pairs, G completions of one
prompt, V vocabulary, H hidden size. A *target* is a token that the model must predict and the loss counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor


class _OnDevice:
    """Moves every tensor of a dataclass, also inside nested batches."""

    def to(self, device: torch.device | str) -> Self:
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class PackedBatch(_OnDevice):
    """Sequences laid end to end; attention stays inside each one."""

    input_ids: Tensor  # (T,) int64
    position_ids: Tensor  # (T,) int64, counting from 0 inside each sequence
    lengths: Tensor  # (B,) int64, in order; sums to T
    targets: Tensor  # (N,) int64, positions in (T,) of the tokens to predict; never a sequence's first token
    target_lengths: Tensor  # (B,) int64, targets of each sequence; sums to N

    @property
    def target_ids(self) -> Tensor:
        """The tokens to predict. (N,)"""
        return self.input_ids[self.targets]

    @property
    def everywhere(self) -> Tensor:
        """The position of every token. (T,)"""
        return torch.arange(len(self.input_ids), device=self.input_ids.device)

    @property
    def ends(self) -> Tensor:
        """The position of each sequence's last token. (B,)"""
        return self.lengths.cumsum(0) - 1

    @property
    def sequence_of_target(self) -> Tensor:
        """Which sequence each target belongs to. (N,)"""
        return torch.repeat_interleave(torch.arange(len(self.lengths), device=self.lengths.device), self.target_lengths)


@dataclass(frozen=True, slots=True)
class PairBatch(_OnDevice):
    """Answers packed once each, and judgements between them: several pairs may share an answer."""

    packed: PackedBatch
    chosen: Tensor  # (P,) int64, sequence of the preferred answer
    rejected: Tensor  # (P,) int64, sequence of the other
    target: Tensor  # (P,) float, probability that chosen is preferred: 1, or 0.5 for a tie
    margin: Tensor  # (P,) float, by how much it must win; 0 where nobody said
    weight: Tensor  # (P,) float; a prompt's pairs sum to 1, or to less where raters were unsure


@dataclass(frozen=True, slots=True)
class ChoiceBatch(_OnDevice):
    """Rankings as choices: the best of all answers, then the best of the rest. M members of C choices in all."""

    pairs: PairBatch  # the same rankings as pairs
    member: Tensor  # (M,) int64, sequence of an answer that could be chosen
    choice: Tensor  # (M,) int64, which choice that was, counting up
    target: Tensor  # (M,) float, chance that it was the one; sums to 1 over a choice
    weight: Tensor  # (C,) float


@dataclass(frozen=True, slots=True)
class RatingBatch(_OnDevice):
    """Answers with their ratings by K criteria."""

    packed: PackedBatch
    ratings: Tensor  # (B, K) float, standardised; 0 where nobody rated
    known: Tensor  # (B, K) float, 1 where somebody did


@dataclass(frozen=True, slots=True)
class CorrectnessBatch(_OnDevice):
    """Answers with labels, right or wrong, at S of their tokens: the last one of each answer, or of each step."""

    packed: PackedBatch
    at: Tensor  # (S,) int64, positions in (T,)
    label: Tensor  # (S,) float, chance that what ends there is right
    weight: Tensor  # (S,) float; an answer's labels sum to 1


@dataclass(frozen=True, slots=True)
class PreferenceBatch(_OnDevice):
    """Pairs with the reference's log-probabilities, computed once before training."""

    pairs: PairBatch
    reference: Tensor  # (N,) float, of every target; 0 for losses that take no reference


@dataclass(frozen=True, slots=True)
class LabelBatch(_OnDevice):
    """Answers labelled one by one. Split pairs give an answer both weights, for what it won and what it lost."""

    packed: PackedBatch
    reference: Tensor  # (N,) float, the reference's log-probability of every target
    desirable: Tensor  # (B,) float, the weight of the labels that want the answer
    undesirable: Tensor  # (B,) float, the weight of those that don't
    baseline: Tensor  # () float, one for the whole step: what an answer's reward is measured against


@dataclass(frozen=True, slots=True)
class Rollout(_OnDevice):
    """Sampled answers, scored: what an advantage function reads."""

    packed: PackedBatch  # its targets are the answers' tokens
    policy_logprobs: Tensor  # (N,) of the policy that sampled
    reference_logprobs: Tensor  # (N,) of the reference
    scores: Tensor  # (B,) one reward for each answer, penalties included
    groups: Tensor  # (B,) int64, equal for answers to the same prompt


@dataclass(frozen=True, slots=True)
class TextBatch(_OnDevice):
    """Text mixed into a policy's step against forgetting (PTX)."""

    packed: PackedBatch  # empty where it is off
    weight: Tensor  # () what its summed log-likelihood weighs against the step's summed loss


@dataclass(frozen=True, slots=True)
class RolloutBatch(_OnDevice):
    """A minibatch of a rollout with its advantages and what the critic said: what PPO's objective reads."""

    packed: PackedBatch
    old_logprobs: Tensor  # (N,)
    old_values: Tensor  # (N,)
    advantages: Tensor  # (N,) whitened over the whole rollout
    returns: Tensor  # (N,)
    importance: Tensor  # (N,) what the policy's loss at a token weighs, for a sampler that is not quite the policy
    text: TextBatch


@dataclass(frozen=True, slots=True)
class GroupBatch(_OnDevice):
    """A minibatch of a rollout with its advantages: what an objective without a critic reads."""

    packed: PackedBatch
    old_logprobs: Tensor  # (N,)
    reference_logprobs: Tensor  # (N,)
    advantages: Tensor  # (N,)
    importance: Tensor  # (N,) as in RolloutBatch
    kl_coefficient: Tensor  # () β, of a penalty in the loss
    text: TextBatch


@dataclass(frozen=True, slots=True)
class DuelBatch(_OnDevice):
    """Pairs of answers sampled just now: what online DPO and XPO read."""

    pairs: PairBatch  # target: the probability that the first, `chosen`, is preferred
    reference: Tensor  # (B,) the reference's log-probability of each answer, summed over its tokens
    foreign: Tensor  # (B,) float, 1 where the reference wrote the answer, 0 where the policy did
    kl_coefficient: Tensor  # () β
    text: TextBatch


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A loss summed over `count` items (tokens or pairs), so that any split of a step gives the same gradient."""

    loss: Tensor  # () sum, not mean
    count: Tensor  # () what to divide by: the loop divides by the count of the whole step, over all ranks
    metrics: Mapping[str, Tensor]  # sums over the same items, divided the same way when logged


Batch = (
    PackedBatch
    | PairBatch
    | ChoiceBatch
    | RatingBatch
    | CorrectnessBatch
    | PreferenceBatch
    | LabelBatch
    | RolloutBatch
    | GroupBatch
    | DuelBatch
)


def tokens_in(batch: Batch) -> int:
    """Tokens that one forward pass over a batch reads."""
    match batch:
        case PackedBatch():
            return len(batch.input_ids)
        case PairBatch() | RatingBatch() | CorrectnessBatch():
            return len(batch.packed.input_ids)
        case ChoiceBatch() | PreferenceBatch():
            return len(batch.pairs.packed.input_ids)
        case LabelBatch():
            return len(batch.packed.input_ids)
        case RolloutBatch() | GroupBatch():
            return len(batch.packed.input_ids) + len(batch.text.packed.input_ids)
        case DuelBatch():
            return len(batch.pairs.packed.input_ids) + len(batch.text.packed.input_ids)
