"""Which blocks compute as one step, and when: Llama's and Mistral's, on a processor, their weights whole and plain."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heedful.models.fused.block import Plan, Weights, block
from heedful.models.last_block import forward_kept
from heedful.models.layout import Grids
from heedful.ops.compiled.threads import divides
from heedful.ops.compiled.tiles import HAS_PAIRS

LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer")
GATES = ("SiLU", "SiLUActivation")


def fuse(model: PreTrainedModel) -> None:
    """Let the blocks of such a model compute as one step. Other architectures stay as they are."""
    for layer in getattr(model.base_model, "layers", ()):
        if type(layer).__name__ in LAYERS:
            last = layer is model.base_model.layers[-1]
            layer.forward = MethodType(_forward_last if last else _forward, layer)


def is_fused(model: PreTrainedModel, half: bool) -> bool:
    """Whether all its blocks compute as one step, with products in float32 or in bfloat16."""
    layers = list(getattr(model.base_model, "layers", ()))
    here = model.device.type == "cpu" and divides() and (HAS_PAIRS or not half)
    return here and bool(layers) and all(type(layer).__name__ in LAYERS and is_plain(layer) for layer in layers)


def _forward(self: Any, hidden_states: Tensor, *args: Any, **settings: Any) -> Tensor:
    if plan := _plan(self, hidden_states, settings):
        return _computed(self, plan, hidden_states)
    whole: Tensor = type(self).forward(self, hidden_states, *args, **settings)
    return whole


def _forward_last(self: Any, hidden_states: Tensor, *args: Any, **settings: Any) -> Tensor:
    """The same, at the kept tokens alone, and then never computed again. (1, U, H) -> (1, kept, H)"""
    kept = settings.get("kept")
    if plan := _plan(self, hidden_states, settings):
        weights = _weights(self)
        return _computed(self, plan, hidden_states) if kept is None else block(plan, kept, hidden_states, weights)
    return forward_kept(self, hidden_states, *args, **settings)


def _computed(layer: Any, plan: Plan, states: Tensor) -> Tensor:
    """By the block, once more in the backward pass where the layer says so. (1, U, H) -> (1, U, H)"""

    def compute(x: Tensor) -> Tensor:
        return block(plan, None, x, _weights(layer))

    if layer.gradient_checkpointing and layer.training:
        again: Tensor = layer._gradient_checkpointing_func(compute, states)
        return again
    return compute(states)


def _plan(layer: Any, states: Tensor, settings: dict[str, Any]) -> Plan | None:
    """How the block computes as one step; none where it can't."""
    grids: Grids | None = settings.get("grids")
    dtype = _dtype(states)
    if grids is None or dtype is None or not is_plain(layer):
        return None
    attention = layer.self_attn
    if settings["position_embeddings"][0].shape[-1] != attention.head_dim:  # turns a part of each head
        return None
    cos, sin = (turn[0, :, : turn.shape[-1] // 2].contiguous() for turn in settings["position_embeddings"])
    window = getattr(attention.config, "sliding_window", None) if "Mistral" in type(layer).__name__ else None
    heads, kv_heads = (len(linear.weight) // attention.head_dim for linear in (attention.q_proj, attention.k_proj))
    eps = layer.input_layernorm.variance_epsilon
    return Plan(grids.paths, cos, sin, heads, kv_heads, attention.scaling, window or grids.longest, eps, dtype)


def _weights(layer: Any) -> Weights:
    q, k, v, out, gate, up, down = (linear.weight for linear in _linears(layer))
    before_attention, before_feedforward = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
    return Weights(before_attention, q, k, v, out, before_feedforward, gate, up, down)


def _linears(layer: Any) -> tuple[Any, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return (
        attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj,
        mlp.down_proj,
    )  # fmt: skip


def is_plain(layer: Any) -> bool:
    """Whether a block is nothing but products, norms and gates with float32 weights of its own, and nobody listens."""
    listened_to = (layer.self_attn, layer.mlp, *_linears(layer))
    return (
        type(layer.mlp.act_fn).__name__ in GATES
        and all(type(linear) is nn.Linear and linear.bias is None for linear in _linears(layer))
        and not any(part._forward_hooks or part._forward_pre_hooks for part in listened_to)
        and all(_is_whole(weight) for weight in _weights(layer))
    )


def _is_whole(weight: Any) -> bool:
    return type(weight) is nn.Parameter and weight.dtype == torch.float32 and weight.is_contiguous()


def _dtype(states: Tensor) -> torch.dtype | None:
    """Of products; none where these blocks can't have them."""
    if states.device.type != "cpu" or states.dtype != torch.float32 or not divides():
        return None
    if not torch.is_autocast_enabled("cpu"):
        return torch.float32
    return torch.bfloat16 if HAS_PAIRS and torch.get_autocast_dtype("cpu") == torch.bfloat16 else None
