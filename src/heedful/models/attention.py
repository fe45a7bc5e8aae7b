"""Attention over packed sequences, registered with transformers as `heedful_packed`.

Any attention-only causal model then trains without padding: sequences lie end to end in one row, and each attends to
itself alone. On a CPU the rows are spread into grids for the attention product only, one grid for each group of like
length; there a causal mask is all that is needed, since what stands behind a sequence's end is never looked back at.
Everything else stays packed. On CUDA in 16 bits `torch.nn.attention.varlen` does the same without grids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from heedful.batches import PackedBatch
from heedful.errors import InputError

NAME = "heedful_packed"
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
        grid = grid.index_copy(0, self.slots, states.squeeze(0).transpose(0, 1))
        return grid.view(self.rows, self.longest, heads, size).transpose(1, 2)

    def gather(self, grid: Tensor) -> Tensor:
        """(rows, heads, longest, D) -> (1, T, heads, D)."""
        rows, heads, longest, size = grid.shape
        return grid.transpose(1, 2).reshape(rows * longest, heads, size).index_select(0, self.slots)[None]


@dataclass(frozen=True, slots=True)
class Grids:
    """Sequences in falling order of length, cut where a grid would begin to be mostly waste."""

    layouts: list[Layout]
    tokens: list[int]  # how many each grid holds
    boundaries: Tensor  # (B + 1,) int32, where each sequence begins, for varlen kernels
    longest: int

    @classmethod
    def of(cls, lengths: Tensor, position_ids: Tensor) -> Grids:
        """`lengths` fall."""
        counts = grid_rows(lengths.tolist())
        parts = torch.split(lengths, counts)
        tokens = [int(part.sum()) for part in parts]
        layouts = [Layout.of_lengths(*pair) for pair in zip(parts, torch.split(position_ids, tokens), strict=True)]
        boundaries = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(torch.int32)
        return cls(layouts, tokens, boundaries, layouts[0].longest)


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


def _on_grids(
    query: Tensor, key: Tensor, value: Tensor, grids: Grids, scaling: float | None, dropout: float, window: int
) -> Tensor:
    """Each grid by itself through the usual kernel. -> (1, T, heads, D)"""
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    parts = (torch.split(states, grids.tokens, dim=2) for states in (query, key, value))
    for layout, *part in zip(grids.layouts, *parts, strict=True):
        q, k, v = (layout.spread(states) for states in part)
        mask = band(layout.longest, window, q.device) if layout.longest > window else None
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
        outputs.append(layout.gather(out))
    return torch.cat(outputs, dim=1)


def _on_cuda(query: Tensor, key: Tensor, value: Tensor, grids: Grids, scaling: float | None, window: int) -> Tensor:
    """The variable-length kernel; 16 bits only. -> (1, T, heads, D)"""
    from torch.nn.attention.varlen import varlen_attn  # needs a CUDA build

    q, k, v = (states.squeeze(0).transpose(0, 1).contiguous() for states in (query, key, value))
    left = window - 1 if grids.longest > window else -1
    out: Tensor = varlen_attn(  # type: ignore[assignment]  # a tuple only where log-sum-exps are asked for
        q,
        k,
        v,
        grids.boundaries,
        grids.boundaries,
        grids.longest,
        grids.longest,
        scale=scaling,
        window_size=(left, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[None]


def packed_attention(
    module: nn.Module,
    query: Tensor,  # (1, heads, T, D)
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    grids: Grids | None = None,
    **_: Any,  # transformers hands every attention function more than it needs
) -> tuple[Tensor, None]:
    """Causal attention inside each packed sequence. Returns (1, T, heads, D), and no weights."""
    if grids is None:
        raise ValueError("packed attention was called without grids: call the model through packed_hidden()")
    if softcap is not None or s_aux is not None:
        feature = "capped attention scores" if softcap is not None else "attention sinks"
        raise InputError(f"{type(module).__name__}: {feature} can't be packed; choose a model without them")
    window = sliding_window or grids.longest
    if query.is_cuda:
        if torch.is_autocast_enabled("cuda"):  # rotary embeddings have made float32 of what autocast had cast
            dtype = torch.get_autocast_dtype("cuda")
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if query.dtype in (torch.float16, torch.bfloat16) and not dropout:
            return _on_cuda(query, key, value, grids, scaling, window), None
    return _on_grids(query, key, value, grids, scaling, dropout, window), None


def use_packed_attention(model: PreTrainedModel) -> None:
    """Switch a loaded model to packed attention.

    No mask function is registered beside it: transformers then spends no time on masks.
    """
    AttentionInterface.register(NAME, packed_attention)
    _switch(model, NAME)


def _switch(model: PreTrainedModel, name: str) -> None:
    if model._can_set_attn_implementation():
        model.set_attn_implementation(name)
    if model.config._attn_implementation != name:
        raise InputError(
            f"{type(model).__name__}: its attention can't be exchanged, so it can't train on packed sequences; "
            "choose an architecture that goes through transformers' AttentionInterface (llama, qwen, mistral, gpt2 …)"
        )


@contextmanager
def plain_attention(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Inside the block the model takes padded batches and `generate` as any transformers model does."""
    before = model.config._attn_implementation
    _switch(model, "sdpa" if model._supports_sdpa else "eager")
    try:
        yield model
    finally:
        _switch(model, before)


def packed_hidden(model: PreTrainedModel, batch: PackedBatch) -> Tensor:
    """The last hidden states of a packed batch, final norm included. `model` has no head. -> (T, H)"""
    order = _falling(batch.lengths)
    lengths, tokens = batch.lengths[order], _token_order(batch.lengths, order)
    positions = batch.position_ids[tokens]
    output = model(
        input_ids=batch.input_ids[tokens][None],
        position_ids=positions[None],
        use_cache=False,
        grids=Grids.of(lengths, positions),
    )
    hidden: Tensor = output.last_hidden_state.squeeze(0)
    return torch.empty_like(hidden).index_copy(0, tokens, hidden)  # back in the batch's order


def _falling(lengths: Tensor) -> Tensor:
    """Sequences from the longest to the shortest; equal ones keep their order. (B,)"""
    return lengths.argsort(descending=True, stable=True)


def _token_order(lengths: Tensor, order: Tensor) -> Tensor:
    """The packed position of each token when sequences are laid in this order. (T,)"""
    starts, moved = lengths.cumsum(0) - lengths, lengths[order]
    shift = starts[order] - (moved.cumsum(0) - moved)  # what to add to a token's new place to find its old one
    total = int(lengths.sum())
    return shift.repeat_interleave(moved, output_size=total) + torch.arange(total, device=lengths.device)
