"""The parts of a transformers model as the native sampler walks through them: functions on flat (n, H) states.

Shapes: n tokens, one of each row when decoding or all of a packed prompt; H hidden size, Q query heads, K key and value
heads, D head size. Weights are the model's own tensors, read anew for every call, so training is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from heedful.models.lora import plain_layer, whole_weight

EVERYTHING = 1 << 30  # a window that no context fills
ROPE_TYPES = ("default", "linear", "yarn", "llama3")  # those whose angles depend on the position alone


@dataclass(frozen=True, slots=True)
class Place:
    """What a block needs to know of the tokens' positions: rotary tables, empty where positions are learned."""

    cos: Tensor  # (n, 1, D)
    sin: Tensor  # (n, 1, D), the first half negated: rotate_half(x) · sin = roll(x, D/2) · this


class Block(Protocol):
    """One transformer block around its attention product."""

    @property
    def scaling(self) -> float: ...

    @property
    def window(self) -> int:
        """How many tokens back attention looks."""
        ...

    def project(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (n, Q, D), keys (n, K, D) and values (n, K, D), positions worked in."""
        ...

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output from its input and the attention's result. attended (n, Q·D) -> (n, H)"""
        ...


@dataclass(frozen=True, slots=True)
class Weights:
    """A whole model but for its head."""

    heads: int
    kv_heads: int
    head_size: int
    blocks: list[Block]
    embed: Callable[[Tensor, Tensor], Tensor]  # tokens (n,), positions (n,) -> (n, H)
    place: Callable[[Tensor], Place]  # positions (n,)
    norm: Callable[[Tensor], Tensor]  # the last one

    @property
    def windows(self) -> set[int]:
        return {block.window for block in self.blocks}


def can_read(lm: PreTrainedModel) -> bool:
    """Whether `read_weights` knows this model, and nothing but LoRA (no quantised layer) was put into it."""
    match type(lm).__name__:  # a wrapper or a sharded model has another name
        case "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM":
            rope = (lm.config.rope_parameters or {}).get("rope_type", "default")
            layers = [module for name, module in lm.base_model.layers.named_modules() if name.endswith("_proj")]
            return rope in ROPE_TYPES and all(type(plain_layer(layer)) is nn.Linear for layer in layers)
        case "GPT2LMHeadModel":
            layers = [module for name, module in lm.base_model.h.named_modules() if name.endswith(("c_attn", "c_proj"))]
            return not lm.config.add_cross_attention and all(type(plain_layer(layer)) is Conv1D for layer in layers)
    return False


def read_weights(lm: PreTrainedModel, longest: int) -> Weights:
    """The model's weights now, with position tables for `longest` tokens."""
    match lm.config.model_type:
        case "gpt2":
            return _read_gpt2(lm)
    return _read_llama(lm, longest)


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Tensor  # (out, in)
    bias: Tensor | None

    @classmethod
    def fuse(cls, *layers: Any) -> _Linear:
        """Several linear layers on the same input as one product."""
        weight = torch.cat([whole_weight(layer) for layer in layers])
        if all(layer.bias is None for layer in layers):
            return cls(weight, None)
        zeros = (layer.weight.new_zeros(layer.out_features) for layer in layers)
        biases = [zero if layer.bias is None else layer.bias for layer, zero in zip(layers, zeros, strict=True)]
        return cls(weight, torch.cat(biases))

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class _RMSNorm:
    weight: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return rms_norm(x, (x.shape[-1],), eps=self.eps) * self.weight  # γ · x / √(mean x² + ε)


def _norm_of(module: Any) -> _RMSNorm:
    return _RMSNorm(module.weight, module.variance_epsilon)


@dataclass(frozen=True, slots=True)
class _LlamaBlock:
    """Llama, Mistral and Qwen: rotary positions, grouped heads, gated feed-forward, biases and head norms as given."""

    heads: int
    kv_heads: int
    scaling: float
    window: int
    before_attention: _RMSNorm
    qkv: _Linear
    head_norm: _RMSNorm | None  # Qwen 3: a gain for each of the Q + K heads, (Q + K, D)
    out: _Linear
    before_feedforward: _RMSNorm
    gate_up: _Linear
    activation: Callable[[Tensor], Tensor]
    down: _Linear

    def project(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        both = self.heads + self.kv_heads
        qkv = self.qkv(self.before_attention(x)).view(len(x), both + self.kv_heads, -1)
        qk, v = qkv[:, :both], qkv[:, both:]
        if self.head_norm is not None:
            qk = self.head_norm(qk)
        qk = torch.addcmul(qk * place.cos, qk.roll(qk.shape[-1] // 2, -1), place.sin)
        return qk[:, : self.heads], qk[:, self.heads :], v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended)
        gate, up = self.gate_up(self.before_feedforward(x)).chunk(2, dim=-1)
        return x + self.down(self.activation(gate) * up)


def _head_norm(attention: Any, heads: int, kv_heads: int) -> _RMSNorm | None:
    if not hasattr(attention, "q_norm"):
        return None
    q, k = attention.q_norm, attention.k_norm
    return _RMSNorm(torch.cat([q.weight.expand(heads, -1), k.weight.expand(kv_heads, -1)]), q.variance_epsilon)


def _window(attention: Any, config: Any) -> int:
    """Qwen decides layer by layer, Mistral for all layers, Llama looks at everything."""
    owner = attention if hasattr(attention, "sliding_window") else config
    return getattr(owner, "sliding_window", None) or EVERYTHING


def _read_llama(lm: PreTrainedModel, longest: int) -> Weights:
    model: Any = lm.base_model
    heads, kv_heads = lm.config.num_attention_heads, lm.config.num_key_value_heads
    table: Tensor = model.embed_tokens.weight
    cos, sin = model.rotary_emb(table, torch.arange(longest, device=table.device)[None])  # (1, longest, D)
    half = cos.shape[-1] // 2
    cos, sin = cos[0, :, None], torch.cat([-sin[..., :half], sin[..., half:]], -1)[0, :, None]
    blocks: list[Block] = []
    for layer in model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        blocks.append(
            _LlamaBlock(
                heads=heads,
                kv_heads=kv_heads,
                scaling=attention.scaling,
                window=_window(attention, lm.config),
                before_attention=_norm_of(layer.input_layernorm),
                qkv=_Linear.fuse(attention.q_proj, attention.k_proj, attention.v_proj),
                head_norm=_head_norm(attention, heads, kv_heads),
                out=_Linear(whole_weight(attention.o_proj), attention.o_proj.bias),
                before_feedforward=_norm_of(layer.post_attention_layernorm),
                gate_up=_Linear.fuse(mlp.gate_proj, mlp.up_proj),
                activation=mlp.act_fn,
                down=_Linear(whole_weight(mlp.down_proj), mlp.down_proj.bias),
            )
        )
    return Weights(
        heads=heads,
        kv_heads=kv_heads,
        head_size=2 * half,
        blocks=blocks,
        embed=lambda tokens, _: table[tokens],
        place=lambda positions: Place(cos[positions], sin[positions]),
        norm=_norm_of(model.norm),
    )


@dataclass(frozen=True, slots=True)
class _GPT2Block:
    """GPT-2: learned positions, biases everywhere; its q, k and v are one layer already, so its own modules do."""

    heads: int
    scaling: float
    layer: Any
    window: int = EVERYTHING

    def project(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.layer.attn.c_attn(self.layer.ln_1(x)).view(len(x), 3, self.heads, -1).unbind(1)
        return q, k, v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.layer.attn.c_proj(attended)
        x = x + self.layer.mlp(self.layer.ln_2(x))
        return x


def _read_gpt2(lm: PreTrainedModel) -> Weights:
    model: Any = lm.base_model
    heads = lm.config.n_head
    empty = model.wte.weight.new_empty(0)
    return Weights(
        heads=heads,
        kv_heads=heads,
        head_size=lm.config.n_embd // heads,
        blocks=[_GPT2Block(heads, layer.attn.scaling, layer) for layer in model.h],
        embed=lambda tokens, positions: model.wte(tokens) + model.wpe(positions),
        place=lambda _: Place(empty, empty),
        norm=model.ln_f,
    )
