"""Where packed tokens stand in the grids that attention works on, one row a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.batches import PackedBatch

SHORTEST = 0.7  # a grid takes sequences down to this part of its longest: at most half of its area is waste


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each packed token stands in a (rows, longest) grid, one row a sequence."""

    rows: int
    longest: int
    slots: Tensor  # (T,) int64, row * longest + column

    @classmethod
    def of(cls, batch: PackedBatch) -> Layout:
        """One grid for the whole batch."""
        return cls.of_lengths(batch.lengths, batch.position_ids)

    @classmethod
    def of_lengths(cls, lengths: Tensor, position_ids: Tensor) -> Layout:
        rows, longest = len(lengths), int(lengths.max())
        row = torch.repeat_interleave(torch.arange(rows, device=lengths.device), lengths, output_size=len(position_ids))
        return cls(rows, longest, row * longest + position_ids)

    def spread(self, states: Tensor) -> Tensor:
        """(1, heads, T, D) -> (rows, heads, longest, D), zeros behind each end."""
        heads, _, size = states.shape[1:]
        grid = states.new_zeros(self.rows * self.longest, heads, size)
        grid.index_copy_(0, self.slots, states.squeeze(0).transpose(0, 1))
        return grid.view(self.rows, self.longest, heads, size).transpose(1, 2)

    def gather(self, grid: Tensor) -> Tensor:
        """(rows, heads, longest, D) -> (1, T, heads, D)."""
        rows, heads, longest, size = grid.shape
        return grid.transpose(1, 2).reshape(rows * longest, heads, size).index_select(0, self.slots)[None]


@dataclass(frozen=True, slots=True)
class Branch:
    """The rests of sequences whose beginnings stand elsewhere: their tokens ask, whole sequences answer."""

    queries: Layout
    keys: Tensor  # (rows, longest sequence) int64, where each token of a row's sequence is among all; anything behind
    shared: Tensor  # (rows,) int64, the position of a row's first query
    _masks: dict[int, Tensor] = field(default_factory=dict)

    def look_up(self, states: Tensor) -> Tensor:
        """(1, heads, T, D) -> (rows, heads, longest sequence, D)."""
        found = states.squeeze(0).transpose(0, 1).index_select(0, self.keys.flatten())
        return found.view(*self.keys.shape, *found.shape[1:]).transpose(1, 2)

    def mask(self, window: int, dtype: torch.dtype) -> Tensor:
        """0 where a query sees a key, −∞ elsewhere; the same for all layers. (rows, 1, longest rest, longest)"""
        if window not in self._masks:
            query = self.shared[:, None, None] + torch.arange(self.queries.longest)[:, None]  # positions
            distance = query - torch.arange(self.keys.shape[1])
            seen = (distance >= 0) & (distance < window)
            self._masks[window] = torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)[:, None]
        return self._masks[window].to(dtype)


@dataclass(frozen=True, slots=True)
class Paths:
    """Each sequence's tokens, one after the other, for kernels that need no grid."""

    starts: Tensor  # (R + 1,) int64, where each sequence begins in `tokens`
    tokens: Tensor  # positions among all, int64
    shared: Tensor  # (R,) int64, how many of a sequence's tokens ask nothing: another one's, whose keys they are
    families: Tensor  # (R,) int64, one number for all that share tokens: two threads may not add to one's gradient
    longest: int


NONE = torch.zeros(0, dtype=torch.int64)
NOWHERE = Paths(NONE, NONE, NONE, NONE, 0)


@dataclass(slots=True)
class Grids:
    """Sequences in falling order of length, cut where a grid would begin to be mostly waste; then branches of them."""

    layouts: list[Layout | Branch]
    tokens: list[int]  # how many queries each grid holds
    boundaries: Tensor  # (B + 1,) int32, where each whole sequence begins, for varlen kernels
    longest: int
    paths: Paths

    @classmethod
    def of(cls, lengths: Tensor, position_ids: Tensor) -> Grids:
        """`lengths` fall."""
        counts = grid_rows(lengths.tolist())
        parts = torch.split(lengths, counts)
        tokens = [int(part.sum()) for part in parts]
        layouts = [Layout.of_lengths(*pair) for pair in zip(parts, torch.split(position_ids, tokens), strict=True)]
        boundaries = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(torch.int32)
        paths = paths_of(lengths) if lengths.device.type == "cpu" else NOWHERE  # a card would be waited for
        return cls([*layouts], tokens, boundaries, layouts[0].longest, paths)

    def append(self, branch: Branch) -> None:
        """Its queries stand behind all that are here."""
        self.layouts.append(branch)
        self.tokens.append(len(branch.queries.slots))
        self.longest = max(self.longest, branch.keys.shape[1])


def paths_of(lengths: Tensor) -> Paths:
    """Of sequences that lie end to end."""
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    tokens = torch.arange(int(starts[-1]))
    return Paths(starts, tokens, torch.zeros_like(lengths), torch.arange(len(lengths)), int(lengths.max()))


def grid_rows(lengths: Sequence[int]) -> list[int]:
    """How many of the falling lengths go into each grid: none is shorter than `SHORTEST` of its grid's longest."""
    counts: list[int] = []
    longest = 0
    for length in lengths:
        if not counts or length < SHORTEST * longest:
            counts.append(0)
            longest = length
        counts[-1] += 1
    return counts


def band(longest: int, window: int, device: torch.device) -> Tensor:
    """Causal, and no further back than the window: query i sees keys i − window < j ≤ i. (longest, longest) bool"""
    distance = torch.arange(longest, device=device)[:, None] - torch.arange(longest, device=device)
    return (distance >= 0) & (distance < window)
