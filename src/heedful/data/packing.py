"""Token sequences laid end to end into packed batches. Nothing is padded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.batches import PackedBatch


@dataclass(frozen=True, slots=True)
class Example:
    """One token sequence; tokens from `answer` on are targets (the first token of a sequence never is)."""

    ids: tuple[int, ...]
    answer: int = 1

    @property
    def targets(self) -> int:
        return len(self.ids) - max(1, self.answer)


def pack(examples: Sequence[Example]) -> PackedBatch:
    """Lay examples end to end in the order given."""
    lengths = torch.tensor([len(e.ids) for e in examples], dtype=torch.long)
    answers = torch.tensor([max(1, e.answer) for e in examples], dtype=torch.long)
    starts = lengths.cumsum(0) - lengths
    positions = _ranges(lengths)
    return PackedBatch(
        input_ids=torch.tensor([i for e in examples for i in e.ids], dtype=torch.long),
        position_ids=positions,
        lengths=lengths,
        targets=_ranges(lengths - answers) + torch.repeat_interleave(starts + answers, lengths - answers),
        target_lengths=lengths - answers,
    )


def _ranges(lengths: Tensor) -> Tensor:
    """0..n-1 for each n in turn: [2, 3] -> [0, 1, 0, 1, 2]."""
    starts = lengths.cumsum(0) - lengths
    return torch.arange(int(lengths.sum())) - torch.repeat_interleave(starts, lengths)


def alike_together(sequences: Sequence[tuple[int, ...]]) -> list[int]:
    """Indices in an order in which sequences that begin alike, such as the answers to one prompt, are neighbours: a
    batch that holds neighbours computes what they share once."""
    return sorted(range(len(sequences)), key=sequences.__getitem__)


def groups_by_tokens(lengths: Iterable[int], limit: int) -> list[list[int]]:
    """Consecutive indices in groups of at most `limit` tokens; a longer single item stands alone."""
    groups: list[list[int]] = []
    held = limit + 1
    for index, length in enumerate(lengths):
        if held + length > limit:
            groups.append([])
            held = 0
        groups[-1].append(index)
        held += length
    return groups
