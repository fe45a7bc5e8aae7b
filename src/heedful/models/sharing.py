"""Packed sequences that begin alike: what they share goes through the network once.

The answers to one prompt repeat it, each in its own sequence. Where a sequence begins as the one before it does, only
its own rest is computed; its attention looks at the shared part's keys and values where they already stand. Hidden
states, and with them log-probabilities and gradients, are those of separate sequences.

    ids      p p p a a | p p p b b b | q q c c          T = 15 packed tokens, of which the network sees U = 12
    own      p p p a a           b b b   q q c c
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.batches import PackedBatch
from heedful.models.layout import Branch, Grids, Layout, Paths, grid_rows

LEAST = 16  # tokens in common: fewer are not worth a grid of their own
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which tokens of a packed batch the network sees, in which order, and where each packed token's state then is."""

    tokens: Tensor  # (U,) int64, positions in (T,)
    place: Tensor  # (T,) int64, positions in (U,)
    grids: Grids

    @classmethod
    def of(cls, batch: PackedBatch) -> Plan:
        """Shared beginnings are looked for on a CPU alone: the kernel for cards keeps queries and keys alike."""
        if batch.input_ids.device.type == "cpu" and len(batch.lengths) > 1:
            ids, lengths = batch.input_ids.numpy(), batch.lengths.numpy()
            shared = in_common(ids, lengths)
            if any(shared):
                return _with_branches(lengths, np.array(shared))
        order = batch.lengths.argsort(descending=True, stable=True)
        tokens = _token_order(batch.lengths, order)
        place = torch.empty_like(tokens).index_copy(0, tokens, torch.arange(len(tokens), device=tokens.device))
        return cls(tokens, place, Grids.of(batch.lengths[order], batch.position_ids[tokens]))


def in_common(ids: Indices, lengths: Indices) -> list[int]:
    """With how many tokens each sequence begins as the one before it does; 0 where they are fewer than `LEAST`. (B,)"""
    shared, start = [0], 0
    for before, length in zip(lengths[:-1].tolist(), lengths[1:].tolist(), strict=True):
        most = min(before, length)
        differ = ids[start : start + most] != ids[start + before : start + before + most]
        alike = int(differ.argmax()) if differ.any() else most
        shared.append(alike if alike >= LEAST else 0)
        start += before
    return shared


def _with_branches(lengths: Indices, shared: Indices) -> Plan:
    """Whole sequences first, then the rests of the others, each part from the longest to the shortest."""
    own, starts = lengths - shared, lengths.cumsum() - lengths
    roots, rests = np.flatnonzero(shared == 0), np.flatnonzero((shared > 0) & (own > 0))
    roots, rests = (part[np.argsort(-own[part], kind="stable")] for part in (roots, rests))
    order = np.concatenate([roots, rests])
    tokens = np.concatenate([np.arange(starts[i] + shared[i], starts[i] + lengths[i]) for i in order])
    place = np.empty(int(lengths.sum()), dtype=np.int64)
    place[tokens] = np.arange(len(tokens))
    for i in np.flatnonzero(shared):  # in order: what it shares may be shared itself
        place[starts[i] : starts[i] + shared[i]] = place[starts[i - 1] : starts[i - 1] + shared[i]]
    paths = [place[starts[i] : starts[i] + lengths[i]] for i in rests]
    grids = Grids.of(torch.from_numpy(lengths[roots]), torch.from_numpy(_ranges(lengths[roots])))
    first = 0
    for rows in grid_rows(own[rests].tolist()):
        grids.append(_branch(paths[first : first + rows], shared[rests[first : first + rows]]))
        first += rows
    root = np.maximum.accumulate(np.where(shared == 0, np.arange(len(shared)), 0))  # whose beginning each one has
    families = np.unique(root[order], return_inverse=True)[1]
    grids.paths = _paths(lengths[roots], paths, shared[rests], families)
    return Plan(torch.from_numpy(tokens), torch.from_numpy(place), grids)


def _paths(roots: Indices, rests: Sequence[Indices], shared: Indices, families: Indices) -> Paths:
    """Whole sequences, whose tokens lie end to end, then the paths of those whose beginnings are shared."""
    lengths = np.concatenate([roots, np.array([len(path) for path in rests], dtype=np.int64)])
    starts, tokens = np.concatenate([[0], lengths.cumsum()]), np.concatenate([np.arange(roots.sum()), *rests])
    asks_nothing = np.concatenate([np.zeros_like(roots), shared])
    begin, at, silent, family = (torch.from_numpy(part) for part in (starts, tokens, asks_nothing, families))
    return Paths(begin, at, silent, family, int(lengths.max()))


def _branch(paths: Sequence[Indices], shared: Indices) -> Branch:
    """`paths`: where each row's keys stand among the tokens that the network sees; its queries are those from its
    number in `shared` on."""
    longest = max(len(path) for path in paths)
    keys = np.zeros((len(paths), longest), dtype=np.int64)  # behind a row's end its queries never look
    for row, path in zip(keys, paths, strict=True):
        row[: len(path)] = path
    own = np.array([len(path) for path in paths]) - shared
    queries = Layout.of_lengths(torch.from_numpy(own), torch.from_numpy(_ranges(own)))
    return Branch(queries, torch.from_numpy(keys), torch.from_numpy(shared))


def _ranges(lengths: Indices) -> Indices:
    """0..n-1 for each n in turn."""
    starts = lengths.cumsum() - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)


def _token_order(lengths: Tensor, order: Tensor) -> Tensor:
    """The packed position of each token when sequences are laid in this order. (T,)"""
    starts, moved = lengths.cumsum(0) - lengths, lengths[order]
    shift = starts[order] - (moved.cumsum(0) - moved)  # what to add to a token's new place to find its old one
    total = int(lengths.sum())
    return shift.repeat_interleave(moved, output_size=total) + torch.arange(total, device=lengths.device)
