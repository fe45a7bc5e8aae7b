"""Attention over packed sequences, registered with transformers as `heedful_packed`.

Any attention-only causal model then trains without padding: sequences lie end to end in one row, and each attends to
itself alone. On a CPU the rows are spread into grids for the attention product only, one grid for each group of like
length; there a causal mask is all that is needed, since what stands behind a sequence's end is never looked back at.
Sequences that begin alike compute what they share once (`sharing`); their rests have grids with masks of their own.
Everything else stays packed. On CUDA in 16 bits `torch.nn.attention.varlen` does the same without grids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from heedful.batches import PackedBatch
from heedful.errors import InputError
from heedful.models.fused.layer import fuse
from heedful.models.last_block import trim_last_block, wanted
from heedful.models.layout import Branch, Grids, Layout, band
from heedful.models.norms import cast_once
from heedful.models.sharing import Plan

NAME = "heedful_packed"


def _on_grids(
    query: Tensor, key: Tensor, value: Tensor, grids: Grids, scaling: float | None, dropout: float, window: int
) -> Tensor:
    """Each grid by itself through the usual kernel. -> (1, T, heads, D)"""
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    parts = (states.split(grids.tokens, dim=2) for states in (query, key, value))  # whose gradients are laid end to end
    for layout, *own in zip(grids.layouts, *parts, strict=True):
        match layout:
            case Layout():
                rows = layout
                q, k, v = (rows.spread(states) for states in own)
                mask = band(rows.longest, window, q.device) if rows.longest > window else None
            case Branch():
                rows = layout.queries
                q, k, v = rows.spread(own[0]), layout.look_up(key), layout.look_up(value)
                mask = layout.mask(window, q.dtype)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
        outputs.append(rows.gather(out))
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
    if query.device.type == "cpu":  # whose kernel takes four times as long backwards in bfloat16
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast("cpu", enabled=False):
        return _on_grids(query, key, value, grids, scaling, dropout, window), None


def use_packed_attention(model: PreTrainedModel) -> None:
    """Switch a loaded model to packed attention.

    No mask function is registered beside it: transformers then spends no time on masks.
    """
    AttentionInterface.register(NAME, packed_attention)
    _switch(model, NAME)
    trim_last_block(model)
    cast_once(model)
    fuse(model)


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


def packed_hidden(model: PreTrainedModel, batch: PackedBatch, at: Tensor) -> Tensor:
    """The last hidden states behind some tokens, positions in (T,), final norm included. `model` has no head. -> (n, H)

    What sequences share with the one before them is computed once (`sharing`), and the last block's feed-forward layer
    runs where a state is asked for (`last_block`).
    """
    plan = Plan.of(batch)
    asked = plan.place[at]
    kept, which = wanted(model, asked, len(plan.tokens))
    output = model(
        input_ids=batch.input_ids[plan.tokens][None],
        position_ids=batch.position_ids[plan.tokens][None],
        use_cache=False,
        grids=plan.grids,
        **kept,
    )
    hidden: Tensor = output.last_hidden_state.squeeze(0)
    return hidden.index_select(0, which)
