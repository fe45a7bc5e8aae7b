"""What an algorithm learns from a rollout, cut into minibatches of whole answers and these into micro-batches.

A rollout and its minibatches are the same on every process; each learns from its share of every minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.batches import Batch, TextBatch
from heedful.data.packing import Example, groups_by_tokens, pack


@dataclass(frozen=True, slots=True)
class Experience:
    """A rollout as an algorithm learns from it."""

    examples: Sequence[Example]
    old_logprobs: Tensor  # (N,) of all answers' tokens end to end
    units: Sequence[Sequence[int]]  # answers that a minibatch holds together or not at all
    count: Callable[[Sequence[Sequence[int]]], float]  # what the loss of some units is divided by
    batch: Callable[[Sequence[Sequence[int]], TextBatch], Batch]  # some units as one batch
    with_text: bool  # whether text is mixed in

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer. (B,)"""
        return torch.tensor([example.targets for example in self.examples])


def tokens_of(lengths: Tensor, answers: Sequence[int]) -> Tensor:
    """Where the tokens of some answers stand in a rollout's flat (N,), in the order of the answers."""
    starts = lengths.cumsum(0) - lengths
    return torch.cat([torch.arange(int(starts[i]), int(starts[i] + lengths[i])) for i in answers])


def flat(units: Sequence[Sequence[int]]) -> list[int]:
    """The answers of some units."""
    return [answer for unit in units for answer in unit]


def cut(experience: Experience, units: Sequence[int], tokens: int) -> list[list[Sequence[int]]]:
    """A minibatch, given by its units' numbers, as groups of units with at most `tokens` prompt and answer tokens.

    Units keep the rollout's order, in which answers to one prompt are neighbours.
    """
    sizes = [sum(len(experience.examples[i].ids) for i in unit) for unit in experience.units]
    ordered = sorted(units)
    groups = groups_by_tokens([sizes[unit] for unit in ordered], tokens)
    return [[experience.units[ordered[place]] for place in group] for group in groups]


def share_of(experience: Experience, units: Sequence[int], process: int, processes: int) -> list[int]:
    """The units of a minibatch that one of several processes learns from: answers to a prompt stay together, which
    costs least, where there are prompts enough for all."""
    prompts: dict[tuple[int, ...], list[int]] = {}
    for unit in sorted(units):
        first = experience.examples[experience.units[unit][0]]
        prompts.setdefault(first.ids[: first.answer], []).append(unit)
    parts = list(prompts.values()) if len(prompts) >= processes else [[unit] for unit in sorted(units)]
    return [unit for part in parts[process::processes] for unit in part]


def micro_batches(
    experience: Experience,
    units: Sequence[int],
    text: Sequence[Example],
    *,
    text_coefficient: float,
    tokens: int,
    share: tuple[int, int] = (0, 1),
) -> tuple[list[Batch], float]:
    """One process's share (which, of how many) of a minibatch and of its text, in batches of at most `tokens` prompt
    and answer tokens; and what its loss counts.

    The text's summed log-likelihood weighs γ · (what the minibatch's loss is divided by) / (its text targets) in each
    of them, so that any cut gives the same gradient. Where text is short of batches, a token without target stands in:
    all processes then run the policy equally often.
    """
    text_tokens = sum(example.targets for example in text)
    weight = torch.tensor(text_coefficient * _count(experience, units) / text_tokens if text_tokens else 0.0)
    process, processes = share
    mine = share_of(experience, units, process, processes)
    groups = cut(experience, mine, tokens)
    texts = [text[process::processes][turn :: len(groups)] for turn in range(len(groups))]
    nothing = [Example(one.ids[:1], answer=1) for one in text[:1]]
    batches = [
        experience.batch(group, TextBatch(pack(some or nothing), weight))
        for some, group in zip(texts, groups, strict=True)
    ]
    return batches, _count(experience, mine)


def _count(experience: Experience, units: Sequence[int]) -> float:
    return experience.count([experience.units[unit] for unit in units])
