"""What the direct stage asks of its data, whether answers were compared or labelled one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from heedful.batches import Batch
from heedful.config import DPOConfig
from heedful.data.chat import Chat
from heedful.data.packing import Example, groups_by_tokens
from heedful.models.heads import Policy
from heedful.run import Run, digest
from heedful.train import laws
from heedful.train.loop import BatchSource, Objective
from heedful.train.pair_source import PairSource
from heedful.train.preferences import B, J, Preferences, zero_logprobs
from heedful.train.reference import reference_logprobs, target_logprobs

CHECKED = 16  # answers that are read again to see that the reference is the policy's start


@dataclass(frozen=True, slots=True)
class Setting:
    """What everything in the stage works with."""

    config: DPOConfig
    policy: Policy
    chat: Chat
    run: Run
    accelerator: Accelerator

    def walk(self, preferences: Preferences[J, B], training: int) -> PairSource[B]:
        """This process's steps over the first `training` items."""
        return PairSource(
            preferences.tokens[:training],
            preferences.batch,
            self.run,
            weights=preferences.weights,
            prompts_per_step=self.config.prompts_per_step,
            tokens_per_batch=self.config.training.tokens_per_batch,
            epochs=self.config.training.epochs,
            share=(self.accelerator.process_index, self.accelerator.num_processes),
        )

    def reference(self, examples: Sequence[Example]) -> tuple[Tensor, ...]:
        """The reference's log-probabilities: the policy's before its first update, or 0 for a loss that takes none.

        One (targets,) for each example.
        """
        if not self.config.loss.reference:
            return zero_logprobs(examples)
        found = reference_logprobs(
            self.policy,
            examples,
            model=digest(Path(self.config.model)),
            training=self.config.training,
            run=self.run,
            accelerator=self.accelerator,
        )
        self._check(examples[:CHECKED], found[:CHECKED])
        return found

    def _check(self, examples: Sequence[Example], reference: Sequence[Tensor]) -> None:
        """Before the first update the policy says what the reference says, also where that was kept from earlier."""
        training = self.config.training
        now = target_logprobs(self.policy, examples, tokens=training.tokens_per_batch, accelerator=self.accelerator)
        gaps = torch.cat([a - b for a, b in zip(now, reference, strict=True)])
        laws.starts_at_reference(gaps, training.precision)


@dataclass(frozen=True, slots=True)
class Course:
    """Everything that `fit` needs, and how to measure items that are not trained on."""

    model: nn.Module  # the policy, or a module around it
    objective: Objective
    source: BatchSource
    first: Sequence[int]  # the items of the first step
    training: int  # items from here on are held out
    items: int
    batches: Callable[[Sequence[int]], Iterable[Batch]]  # the items named, in batches to measure by
    counted: str  # what a judgement is called
    count: int  # judgements, held-out ones included


def in_batches(preferences: Preferences[J, B], members: Sequence[int], tokens_per_batch: int) -> Iterable[B]:
    """The items named, in batches of at most so many tokens."""
    for group in groups_by_tokens([preferences.tokens[i] for i in members], tokens_per_batch):
        yield preferences.batch([members[place] for place in group])
