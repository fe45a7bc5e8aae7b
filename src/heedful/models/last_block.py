"""The last block of a Llama-like model where few of its states are asked for.

What comes out of the last block at a token serves that token's prediction alone: of prompts nobody asks for it, of
texts that get one score only the last token's is read. The feed-forward layer, two thirds of a block, then runs there.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer")
MOST = 0.9  # of all tokens: where more are asked for, picking them costs what it saves


def trim_last_block(model: PreTrainedModel) -> None:
    """Let the last block take `kept`, the tokens to give states of. Other architectures stay as they are."""
    layers = getattr(model.base_model, "layers", None)
    if layers is not None and type(layers[-1]).__name__ in LAYERS:
        layers[-1].forward = MethodType(forward_kept, layers[-1])


def wanted(model: PreTrainedModel, asked: Tensor, tokens: int) -> tuple[dict[str, Tensor], Tensor]:
    """What to tell the network, and where in its output each state then is. asked: positions in (U,) -> (n,)"""
    layers = getattr(model, "layers", None)
    if layers is None or "forward" not in vars(layers[-1]):
        return {}, asked
    kept, which = torch.unique(asked, return_inverse=True)
    return ({"kept": kept}, which) if len(kept) < MOST * tokens else ({}, asked)


def forward_kept(self: Any, hidden_states: Tensor, *args: Any, **settings: Any) -> Tensor:
    """x + attention(norm(x)), and at the kept tokens y + mlp(norm(y)) of that. (1, U, H) -> (1, kept, H)"""
    kept = settings.pop("kept", None)
    if kept is None:
        whole: Tensor = type(self).forward(self, hidden_states, *args, **settings)
        return whole
    attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **settings)
    x = hidden_states.index_select(1, kept) + attended.index_select(1, kept)
    out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
    return out
