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
from heedful.ops.compiled.tiles import HAS_PAIRS

LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer")
GATES = ("SiLU", "SiLUActivation")


def fuse(model: PreTrainedModel) -> None:
    """Let the blocks of such a model compute as one step. Other architectures stay as they are."""
    for layer in getattr(model.base_model, "layers", ()):
        if type(layer).__name__ in LAYERS and type(layer.mlp.act_fn).__name__ in GATES:
            last = layer is model.base_model.layers[-1]
            layer.forward = MethodType(_forward_last if last else _forward, layer)


def _forward(self: Any, hidden_states: Tensor, *args: Any, **settings: Any) -> Tensor:
    if plan := _plan(self, hidden_states, settings):
        return _computed(self, plan, None, hidden_states)
    whole: Tensor = type(self).forward(self, hidden_states, *args, **settings)
    return whole


def _forward_last(self: Any, hidden_states: Tensor, *args: Any, **settings: Any) -> Tensor:
    """The same, at the kept tokens alone. (1, U, H) -> (1, kept, H)"""
    if plan := _plan(self, hidden_states, settings):
        return _computed(self, plan, settings.get("kept"), hidden_states)
    return forward_kept(self, hidden_states, *args, **settings)


def _computed(layer: Any, plan: Plan, kept: Tensor | None, states: Tensor) -> Tensor:
    """By the block, once more in the backward pass where the layer says so. (1, U, H) -> (1, n, H)"""

    def compute(x: Tensor) -> Tensor:
        return block(plan, kept, x, _weights(layer))[None]

    if layer.gradient_checkpointing and layer.training:
        again: Tensor = layer._gradient_checkpointing_func(compute, states[0])
        return again
    return compute(states[0])


def _plan(layer: Any, states: Tensor, settings: dict[str, Any]) -> Plan | None:
    """How the block computes as one step; none where it can't."""
    grids: Grids | None = settings.get("grids")
    dtype = _dtype(states)
    if grids is None or dtype is None or not all(_plain(linear) for linear in _linears(layer)):
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


def _plain(linear: Any) -> bool:
    """A product and nothing else, its float32 weights whole."""
    weight = getattr(linear, "weight", None)
    return (
        type(linear) is nn.Linear
        and linear.bias is None
        and type(weight) is nn.Parameter
        and weight.dtype == torch.float32
        and weight.is_contiguous()
    )


def _dtype(states: Tensor) -> torch.dtype | None:
    """Of products; none where these blocks can't have them."""
    if states.device.type != "cpu" or states.dtype != torch.float32:
        return None
    if not torch.is_autocast_enabled("cpu"):
        return torch.float32
    return torch.bfloat16 if HAS_PAIRS and torch.get_autocast_dtype("cpu") == torch.bfloat16 else None
