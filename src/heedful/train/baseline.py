"""The baseline of losses on single labels: one number a step, from the policy as it is, however the step is cut up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isnan, nan

import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.batches import LabelBatch
from heedful.data.labels import LabelledExamples
from heedful.data.packing import Example
from heedful.models.heads import Policy
from heedful.train.loop import Step
from heedful.train.pair_source import PairSource
from heedful.train.reference import target_logprobs

Baseline = Callable[[Sequence[int]], float]  # from the prompts of a step, over all processes; nan: they can't tell


def drift(
    policy: Policy,
    mismatched: Sequence[tuple[Example, ...]],
    reference: Sequence[Tensor],
    *,
    tokens: int,
    accelerator: Accelerator,
) -> Baseline:
    """KTO's z₀ = max(0, mean (log π − log π_ref)) over prompts with another prompt's answer.

    `mismatched` has at most one example a prompt, `reference` what the reference says of each example, in order.
    """
    sums = iter([float(logprobs.sum()) for logprobs in reference])
    expected = [[next(sums) for _ in examples] for examples in mismatched]

    def baseline(members: Sequence[int]) -> float:
        examples = [example for i in members for example in mismatched[i]]
        before = torch.tensor([value for i in members for value in expected[i]])
        if not examples:
            return nan
        now = target_logprobs(policy, examples, tokens=tokens, accelerator=accelerator)
        return max(0.0, float((torch.stack([logprobs.sum() for logprobs in now]) - before).mean()))

    return baseline


def halfway(
    policy: Policy,
    items: Sequence[LabelledExamples],
    reference: Sequence[Tensor],
    *,
    beta: float,
    tokens: int,
    accelerator: Accelerator,
) -> Baseline:
    """BCO's δ = ½ (mean reward of wanted answers + mean reward of unwanted ones), the reward β (log π − log π_ref).

    `reference` has for each item its answers' targets end to end.
    """

    def baseline(members: Sequence[int]) -> float:
        examples = [example for i in members for example in items[i].examples]
        now = target_logprobs(policy, examples, tokens=tokens, accelerator=accelerator)
        before = torch.split(torch.cat([reference[i] for i in members]), [len(logprobs) for logprobs in now])
        reward = beta * torch.stack([(a - b).sum() for a, b in zip(now, before, strict=True)])
        wanted = torch.tensor([weight for i in members for weight in items[i].desirable])
        unwanted = torch.tensor([weight for i in members for weight in items[i].undesirable])
        means = [(weights * reward).sum() / weights.sum() for weights in (wanted, unwanted)]  # 0/0 = nan
        return 0.5 * float(means[0] + means[1])

    return baseline


class BaselineSource:
    """A walk over labelled answers that measures the baseline before each step, and gives it to all its batches.

    A fresh measurement weighs 1 − decay against what was there; one that can't tell changes nothing.
    """

    def __init__(self, walk: PairSource[LabelBatch], baseline: Baseline, *, decay: float = 0.0) -> None:
        self.walk, self.baseline, self.decay = walk, baseline, decay
        self.value = 0.0  # at π = π_ref nothing has moved
        self.total_steps = walk.total_steps

    def steps(self, start: int) -> Iterator[Step]:
        """The walk's steps, each with the baseline of the policy that it finds."""
        for number, step in enumerate(self.walk.steps(start), start):
            found = self.baseline(self.walk.rankings_of(number))
            if not isnan(found):
                self.value = self.decay * self.value + (1 - self.decay) * found
            yield replace(step, batches=[with_baseline(batch, self.value) for batch in step.batches])

    def state_dict(self) -> dict[str, float | int]:
        """The baseline, of which a part stays."""
        return {"baseline": self.value}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.value = float(state["baseline"])


def with_baseline(batch: object, value: float) -> LabelBatch:
    """The batch, its rewards measured against this baseline."""
    assert isinstance(batch, LabelBatch)
    return replace(batch, baseline=torch.tensor(value))
