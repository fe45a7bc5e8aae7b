"""Keys and values of the rows being decoded: rows stand densely in 0..n-1, each at its own length."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from heedful.errors import ResourceError
from heedful.ops.memory import memory_free_on
from heedful.sampling.weights import Weights


def must_fit(needed: int, slots: int, columns: int, device: torch.device) -> None:
    """ResourceError where the device has less than this free, before anything is computed in vain."""
    free = memory_free_on(device)
    if free and needed > free:
        raise ResourceError(
            f"keys and values of {slots} rows of up to {columns} tokens take {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free: lower generation.batch to {int(slots * free / needed)} or less, "
            "or generation.max_new_tokens"
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """What one decoding step may look at; the same in every layer."""

    rows: int
    longest: int  # columns in use by any row, the new token's included
    slots: Tensor  # (n·K,) where each row's new key and value go in the flattened cache
    mask: Tensor  # (n·K, 1, longest) 0 where a row has a token in its window, −inf elsewhere


class Cache:
    """(2, layers, slots, K, columns, D): keys and values, zero where nothing was written yet.

    What stands behind a row's end is finite, never NaN, so a mask of −inf hides it wholly.
    """

    def __init__(self, weights: Weights, slots: int, columns: int, like: Tensor) -> None:
        self.kv_heads, self.size, self.columns = weights.kv_heads, weights.head_size, columns
        shape = (2, len(weights.blocks), slots, self.kv_heads, columns, self.size)
        must_fit(prod(shape) * like.element_size(), slots, columns, like.device)
        self.states = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._heads = torch.arange(slots * self.kv_heads, device=like.device) * columns

    def fill(self, layer: int, rows: Tensor, columns: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put prompts' tokens in their places. rows and columns (n,), keys and values (n, K, D)"""
        self.states[0, layer, rows, :, columns] = keys
        self.states[1, layer, rows, :, columns] = values

    def move(self, origins: Tensor, targets: Tensor, columns: int) -> None:
        """Copy whole rows, as far as `columns`."""
        used = self.states[..., :columns, :]
        used[:, :, targets] = used[:, :, origins]

    def reach(self, lengths: Tensor, window: int) -> Reach:
        """For rows that hold `lengths` tokens and get one more, which looks `window` tokens back. lengths (n,)"""
        rows, longest = len(lengths), int(lengths.max()) + 1
        lengths = lengths.repeat_interleave(self.kv_heads)
        back = lengths[:, None] - torch.arange(longest, device=lengths.device)  # how far behind the new token
        mask = torch.zeros(back.shape, dtype=self.states.dtype, device=lengths.device)
        mask = mask.masked_fill_((back < 0) | (back >= window), -torch.inf)[:, None]
        return Reach(rows, longest, self._heads[: len(lengths)] + lengths, mask)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, reach: Reach, scaling: float) -> Tensor:
        """Write the new keys and values, then attend to all so far. q (n, Q, D), k and v (n, K, D) -> (n, Q·D)

        The query heads that share a key head stand as rows of one small product: softmax(scaling · q kᵀ + mask) v.
        """
        heads = reach.rows * self.kv_heads
        keys, values = self.states[0, layer].view(-1, self.size), self.states[1, layer].view(-1, self.size)
        keys.index_copy_(0, reach.slots, k.reshape(heads, self.size))
        values.index_copy_(0, reach.slots, v.reshape(heads, self.size))
        keys = keys.view(-1, self.columns, self.size)[:heads, : reach.longest]  # (n·K, longest, D)
        values = values.view(-1, self.columns, self.size)[:heads, : reach.longest]
        scores = torch.baddbmm(reach.mask, q.reshape(heads, -1, self.size), keys.mT, alpha=scaling)
        return torch.bmm(scores.softmax(-1), values).view(reach.rows, -1)
