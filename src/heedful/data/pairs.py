"""Rankings as packed pairs: what reward models and the DPO family train on.

Each answer of a ranking is packed once, and all C(G,2) pairs of a prompt stand in one batch, so that no answer is read
twice in one pass: pairs of one prompt spread over several steps overfit within an epoch (Ouyang 2022, section 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from heedful.batches import PairBatch
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example, pack
from heedful.records import Messages, Ranking


class Tokenises(Protocol):
    """The one method of `Chat` that pairs need."""

    def example(self, messages: Messages, completion: str) -> Example: ...


@dataclass(frozen=True, slots=True)
class RankedExamples:
    """One ranking as tokens: G answers, and its judgements as indices into them (P pairs)."""

    examples: tuple[Example, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    target: tuple[float, ...]
    margin: tuple[float, ...]

    @property
    def tokens(self) -> int:
        return sum(len(example.ids) for example in self.examples)

    @property
    def weight(self) -> float:
        """What each pair weighs: a prompt weighs 1 in all."""
        return 1.0 / len(self.chosen)

    def without_ties(self) -> RankedExamples:
        """The decided pairs only; each then weighs more, so that the prompt still weighs 1."""
        keep = [i for i, target in enumerate(self.target) if target != 0.5]
        return replace(
            self,
            chosen=tuple(self.chosen[i] for i in keep),
            rejected=tuple(self.rejected[i] for i in keep),
            target=tuple(self.target[i] for i in keep),
            margin=tuple(self.margin[i] for i in keep),
        )


def rank_examples(chat: Tokenises, ranking: Ranking) -> RankedExamples:
    """Tokenise a ranking. A tie's target is 1/2 and it has no margin: neither side is to win by anything."""
    pairs = ranking.pairs()
    margins = ranking.margins or (0.0,) * len(pairs)
    return RankedExamples(
        examples=tuple(chat.example(ranking.prompt.messages, text) for text in ranking.completions),
        chosen=tuple(better for better, _, _ in pairs),
        rejected=tuple(worse for _, worse, _ in pairs),
        target=tuple(0.5 if tie else 1.0 for _, _, tie in pairs),
        margin=tuple(0.0 if tie else margin for (_, _, tie), margin in zip(pairs, margins, strict=True)),
    )


def fitting(ranked: Sequence[RankedExamples], context: int) -> tuple[list[RankedExamples], str]:
    """Those whose every answer fits the context, prompt included, and a sentence about the others ("" for none).

    A cut answer is not the one that was judged. InputError: more than 1 % don't fit.
    """
    kept, sentence = fitting_groups([item.examples for item in ranked], context, "rankings")
    return [ranked[index] for index in kept], sentence


def pack_pairs(ranked: Sequence[RankedExamples]) -> PairBatch:
    """Several rankings as one batch."""
    chosen: list[int] = []
    rejected: list[int] = []
    first = 0
    for item in ranked:
        chosen += [first + index for index in item.chosen]
        rejected += [first + index for index in item.rejected]
        first += len(item.examples)
    return PairBatch(
        packed=pack([example for item in ranked for example in item.examples]),
        chosen=torch.tensor(chosen, dtype=torch.long),
        rejected=torch.tensor(rejected, dtype=torch.long),
        target=torch.tensor([target for item in ranked for target in item.target], dtype=torch.float32),
        margin=torch.tensor([margin for item in ranked for margin in item.margin], dtype=torch.float32),
        weight=torch.tensor([item.weight for item in ranked for _ in item.chosen], dtype=torch.float32),
    )
