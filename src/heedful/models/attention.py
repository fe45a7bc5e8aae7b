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


def grids(lengths: Sequence[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Sequences in falling order of length, and the (rows, longest) of each grid that they fill in that order."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    shapes: list[tuple[int, int]] = []
    for row in order:
        rows, longest = shapes[-1] if shapes else (0, 0)
        if lengths[row] < SHORTEST * longest or not shapes:
            shapes.append((1, lengths[row]))
        else:
            shapes[-1] = (rows + 1, longest)
    return order, shapes


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each packed token stands in grids that lie one after another, each (rows, longest)."""

    shapes: Sequence[tuple[int, int]]
    slots: Tensor  # (T,) int64, a token's place in all grids together
    boundaries: Tensor  # (B + 1,) int32, where each sequence begins, for varlen kernels
    longest: int

    @classmethod
    def of(cls, batch: PackedBatch) -> Layout:
        lengths, device = batch.lengths.tolist(), batch.lengths.device
        order, shapes = grids(lengths)
        starts, place, rows_left = [0] * len(lengths), 0, iter(order)
        for rows, longest in shapes:
            for row in (next(rows_left) for _ in range(rows)):
                starts[row] = place
                place += longest
        begin = torch.tensor(starts, device=device).repeat_interleave(batch.lengths, output_size=sum(lengths))
        zero = torch.zeros(1, dtype=torch.int32, device=device)
        boundaries = torch.cat([zero, batch.lengths.cumsum(0).to(torch.int32)])
        return cls(shapes, begin + batch.position_ids, boundaries, max(lengths))

    def spread(self, states: Tensor) -> list[Tensor]:
        """(1, heads, T, D) -> for each grid (rows, heads, longest, D), zeros behind each end."""
        heads, _, size = states.shape[1:]
        areas = [rows * longest for rows, longest in self.shapes]
        flat = states.new_zeros(sum(areas), heads, size).index_copy(0, self.slots, states[0].transpose(0, 1))
        parts = zip(flat.split(areas), self.shapes, strict=True)
        return [part.view(rows, longest, heads, size).transpose(1, 2) for part, (rows, longest) in parts]

    def gather(self, parts: Sequence[Tensor]) -> Tensor:
        """The inverse, with heads behind tokens: -> (1, T, heads, D)."""
        flat = [part.transpose(1, 2).reshape(-1, part.shape[1], part.shape[3]) for part in parts]
        return torch.cat(flat).index_select(0, self.slots)[None]


def _band(longest: int, window: int, device: torch.device) -> Tensor:
    """Causal, and no further back than the window: query i sees keys i − window < j ≤ i. (longest, longest) bool"""
    distance = torch.arange(longest, device=device)[:, None] - torch.arange(longest, device=device)
    return (distance >= 0) & (distance < window)


def _on_grids(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None, dropout: float, window: int
) -> Tensor:
    """Each grid by itself through the usual kernel. -> (1, T, heads, D)"""
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    for q, k, v in zip(layout.spread(query), layout.spread(key), layout.spread(value), strict=True):
        longest = q.shape[2]
        mask = _band(longest, window, q.device) if longest > window else None
        outputs.append(
            scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=scaling, enable_gqa=grouped
            )
        )
    return layout.gather(outputs)


def _on_cuda(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None, window: int
) -> Tensor:
    """The variable-length kernel; 16 bits only. -> (1, T, heads, D)"""
    from torch.nn.attention.varlen import varlen_attn  # needs a CUDA build

    q, k, v = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))
    left = window - 1 if layout.longest > window else -1
    return varlen_attn(
        q,
        k,
        v,
        layout.boundaries,
        layout.boundaries,
        layout.longest,
        layout.longest,
        scale=scaling,
        window_size=(left, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )[None]


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
    layout: Layout | None = None,
    **_: Any,  # transformers hands every attention function more than it needs
) -> tuple[Tensor, None]:
    """Causal attention inside each packed sequence. Returns (1, T, heads, D), and no weights."""
    if layout is None:
        raise ValueError("packed attention was called without a layout: call the model through packed_hidden()")
    if softcap is not None or s_aux is not None:
        feature = "capped attention scores" if softcap is not None else "attention sinks"
        raise InputError(f"{type(module).__name__}: {feature} can't be packed; choose a model without them")
    window = sliding_window or layout.longest
    if query.is_cuda:
        if torch.is_autocast_enabled("cuda"):  # rotary embeddings have made float32 of what autocast had cast
            dtype = torch.get_autocast_dtype("cuda")
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if query.dtype in (torch.float16, torch.bfloat16) and not dropout:
            return _on_cuda(query, key, value, layout, scaling, window), None
    return _on_grids(query, key, value, layout, scaling, dropout, window), None


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
    output = model(
        input_ids=batch.input_ids[None],
        position_ids=batch.position_ids[None],
        use_cache=False,
        layout=Layout.of(batch),
    )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden
