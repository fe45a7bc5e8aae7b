"""What a direct loss trains on: judged answers as tokens, with what the reference says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from heedful.batches import Batch
from heedful.data.packing import Example


class Judged(Protocol):
    """The answers to one prompt as tokens, and what is said of them."""

    @property
    def examples(self) -> tuple[Example, ...]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def weight(self) -> float: ...


J = TypeVar("J", bound=Judged)
B = TypeVar("B", bound=Batch)


def zero_logprobs(examples: Sequence[Example]) -> tuple[Tensor, ...]:
    """What stands in the reference's place for a loss that takes none. (targets,) each"""
    return tuple(torch.zeros(example.targets) for example in examples)


class Preferences(Generic[J, B]):
    """Rankings, or the labelled answers of prompts, with the reference's log-probability of every target.

    `reference` has one tensor (targets,) for every answer of all items in order; `pack` turns items, with the
    log-probabilities of all their targets, into a batch.
    """

    def __init__(self, items: Sequence[J], reference: Sequence[Tensor], pack: Callable[[list[J], Tensor], B]) -> None:
        self.items, self.pack = items, pack
        self.tokens, self.weights = [item.tokens for item in items], [item.weight for item in items]
        answers = iter(reference)
        self.reference = [torch.cat([next(answers) for _ in item.examples]) for item in items]  # for each item (N,)

    def batch(self, members: Sequence[int]) -> B:
        """Some items as one batch."""
        return self.pack([self.items[i] for i in members], torch.cat([self.reference[i] for i in members]))
