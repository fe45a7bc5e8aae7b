"""Norms of Llama-like blocks where products are in 16 bits: what they give is cast once for all that multiply it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heedful.models.last_block import LAYERS


def cast_once(model: PreTrainedModel) -> None:
    """Let each block's two norms give what autocast would make of it anew for each of q, k, v, gate and up."""
    for layer in getattr(model.base_model, "layers", ()):
        if type(layer).__name__ in LAYERS:
            layer.input_layernorm.register_forward_hook(_cast)  # type: ignore[union-attr]
            layer.post_attention_layernorm.register_forward_hook(_cast)  # type: ignore[union-attr]


def _cast(norm: nn.Module, given: tuple[Tensor, ...], normed: Tensor) -> Tensor:
    kind = normed.device.type
    return normed.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else normed
