"""The parts of a transformers model as the native sampler walks through them: functions on flat (n, H) states.

Shapes: n tokens, one of each row when decoding or all of a packed prompt; H hidden size, Q query heads, K key and value
heads, D head size. Weights are read anew for every call, so training is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from heedful.models.heads import Policy
from heedful.models.lora import plain_layer
from heedful.sampling.linear import Linear, Packing, parts_of

EVERYTHING = 1 << 30  # a window that no context fills
NAMES_GPT2 = ("c_attn", "c_proj", "c_fc")
ROPE_TYPES = ("default", "linear", "yarn", "llama3")  # those whose angles depend on the position alone


@dataclass(frozen=True, slots=True)
class Place:
    """What a block needs to know of the tokens' positions: rotary angles, empty where positions are learned."""

    turn: Tensor  # (n, 1, D / 2) complex: e^(iθ)


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
    """A whole model."""

    heads: int
    kv_heads: int
    head_size: int
    blocks: list[Block]
    embed: Callable[[Tensor, Tensor], Tensor]  # tokens (n,), positions (n,) -> (n, H)
    place: Callable[[Tensor], Place]  # positions (n,)
    norm: Callable[[Tensor], Tensor]  # the last one
    head: Callable[[Tensor], Tensor]  # (n, H) -> (n, V)

    @property
    def windows(self) -> set[int]:
        return {block.window for block in self.blocks}


def can_read(lm: PreTrainedModel) -> bool:
    """Whether `read_weights` knows this model, and nothing (an adapter, a quantised layer) was put into it."""
    match type(lm).__name__:  # a wrapper or a sharded model has another name
        case "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM":
            rope = (lm.config.rope_parameters or {}).get("rope_type", "default")
            layers = [module for name, module in lm.base_model.layers.named_modules() if name.endswith("_proj")]
            return rope in ROPE_TYPES and all(type(plain_layer(layer)) is nn.Linear for layer in layers)
        case "GPT2LMHeadModel":
            layers = [module for name, module in lm.base_model.h.named_modules() if name.endswith(NAMES_GPT2)]
            return not lm.config.add_cross_attention and all(type(plain_layer(layer)) is Conv1D for layer in layers)
    return False


def can_compile(policy: Policy) -> bool:
    """Whether the compiled step decodes this model: of the Llama kind, in float32 on a processor, with SiLU gates."""
    lm = policy.lm
    return (
        lm.config.model_type != "gpt2"
        and lm.config.hidden_act in ("silu", "swish")
        and type(lm.get_output_embeddings()) is nn.Linear
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in lm.parameters())
    )


def read_weights(policy: Policy, longest: int, packing: Packing) -> Weights:
    """The model's weights now, with position tables for `longest` tokens."""
    match policy.lm.config.model_type:
        case "gpt2":
            return _read_gpt2(policy, packing)
    return _read_llama(policy, longest, packing)


def _read_head(policy: Policy, packing: Packing) -> Callable[[Tensor], Tensor]:
    """Of these families none scales or caps its logits: the head is its layer, packed where nothing was put into it."""
    layer: Any = policy.lm.get_output_embeddings()
    return packing.linear(layer.weight, layer.bias) if type(layer) is nn.Linear else policy.head


@dataclass(frozen=True, slots=True)
class _RMSNorm:
    """γ · x / √(mean x² + ε), the mean in float32."""

    gain: Tensor  # γ
    eps: Tensor  # ()

    @classmethod
    def of(cls, gain: Tensor, eps: float) -> _RMSNorm:
        return cls(gain, torch.tensor(eps, device=gain.device))

    def __call__(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self.eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()  # 1 / √(‖x‖² / H + ε)
        scaled: Tensor = (x * scale).to(x.dtype)
        return scaled * self.gain


def _norm_of(module: Any) -> _RMSNorm:
    return _RMSNorm.of(module.weight, module.variance_epsilon)


@dataclass(frozen=True, slots=True)
class LlamaBlock:
    """Llama, Mistral and Qwen: rotary positions, grouped heads, gated feed-forward, biases and head norms as given.

    The library turns the pair (j, j + D/2) of each head. Here the rows of q and k are laid so that a pair's two stand
    side by side: one complex product turns them all, and q · k is what it was.
    """

    heads: int
    kv_heads: int
    scaling: float
    window: int
    before_attention: _RMSNorm
    qkv: Linear
    head_norm: _RMSNorm | None  # Qwen 3: a gain for each of the Q + K heads, (Q + K, D)
    out: Linear
    before_feedforward: _RMSNorm
    gate_up: Linear
    activation: Callable[[Tensor], Tensor]
    down: Linear

    def project(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        both = self.heads + self.kv_heads
        qkv = self.qkv(self.before_attention(x)).view(len(x), both + self.kv_heads, -1)
        qk, v = qkv[:, :both], qkv[:, both:]
        if self.head_norm is not None:
            qk = self.head_norm(qk)
        pairs = torch.view_as_complex(qk.float().unflatten(-1, (-1, 2))) * place.turn  # (n, Q + K, D / 2)
        qk = torch.view_as_real(pairs).flatten(-2).to(x.dtype)
        return qk[:, : self.heads], qk[:, self.heads :], v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.out.onto(attended, x)
        gate, up = self.gate_up(self.before_feedforward(x)).chunk(2, dim=-1)
        return self.down.onto(self.activation(gate) * up, x)


def _side_by_side(rows: Tensor, heads: int) -> Tensor:
    """Bring the pairs (j, j + D/2) of each head together. (heads · D, …) -> the same shape"""
    moved: Tensor = rows.unflatten(0, (heads, 2, -1)).transpose(1, 2)
    return moved.flatten(0, 2)


def _paired(layer: Any, heads: int) -> tuple[Tensor, Tensor | None]:
    weight, bias = parts_of(layer)
    return _side_by_side(weight, heads), None if bias is None else _side_by_side(bias, heads)


def _head_norm(attention: Any, heads: int, kv_heads: int) -> _RMSNorm | None:
    if not hasattr(attention, "q_norm"):
        return None
    q, k = attention.q_norm, attention.k_norm
    gains = [_side_by_side(norm.weight, 1).expand(count, -1) for norm, count in ((q, heads), (k, kv_heads))]
    return _RMSNorm.of(torch.cat(gains), q.variance_epsilon)


def _window(attention: Any, config: Any) -> int:
    """Qwen decides layer by layer, Mistral for all layers, Llama looks at everything."""
    owner = attention if hasattr(attention, "sliding_window") else config
    return getattr(owner, "sliding_window", None) or EVERYTHING


def _read_llama(policy: Policy, longest: int, packing: Packing) -> Weights:
    lm, model = policy.lm, cast(Any, policy.lm.base_model)
    heads, kv_heads = lm.config.num_attention_heads, lm.config.num_key_value_heads
    table: Tensor = model.embed_tokens.weight
    cos, sin = model.rotary_emb(table, torch.arange(longest, device=table.device)[None])  # (1, longest, D)
    half = cos.shape[-1] // 2  # the other half repeats it
    turns = torch.complex(cos[0, :, None, :half].float(), sin[0, :, None, :half].float())  # (longest, 1, D / 2)
    blocks: list[Block] = []
    for layer in model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        q, k = _paired(attention.q_proj, heads), _paired(attention.k_proj, kv_heads)
        blocks.append(
            LlamaBlock(
                heads=heads,
                kv_heads=kv_heads,
                scaling=attention.scaling,
                window=_window(attention, lm.config),
                before_attention=_norm_of(layer.input_layernorm),
                qkv=packing.fused([q, k, parts_of(attention.v_proj)]),
                head_norm=_head_norm(attention, heads, kv_heads),
                out=packing.linear(*parts_of(attention.o_proj)),
                before_feedforward=_norm_of(layer.post_attention_layernorm),
                gate_up=packing.fused([parts_of(mlp.gate_proj), parts_of(mlp.up_proj)]),
                activation=mlp.act_fn,
                down=packing.linear(*parts_of(mlp.down_proj)),
            )
        )
    return Weights(
        heads=heads,
        kv_heads=kv_heads,
        head_size=2 * half,
        blocks=blocks,
        embed=lambda tokens, _: table[tokens],
        place=lambda positions: Place(turns[positions]),
        norm=_norm_of(model.norm),
        head=_read_head(policy, packing),
    )


@dataclass(frozen=True, slots=True)
class _GPT2Block:
    """GPT-2: learned positions, biases everywhere; its q, k and v are one layer already."""

    heads: int
    scaling: float
    before_attention: Callable[[Tensor], Tensor]
    qkv: Linear
    out: Linear
    before_feedforward: Callable[[Tensor], Tensor]
    up: Linear
    activation: Callable[[Tensor], Tensor]
    down: Linear
    window: int = EVERYTHING

    def project(self, x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(self.before_attention(x)).view(len(x), 3, self.heads, -1).unbind(1)
        return q, k, v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.out.onto(attended, x)
        return self.down.onto(self.activation(self.up(self.before_feedforward(x))), x)


def _read_gpt2(policy: Policy, packing: Packing) -> Weights:
    lm, model = policy.lm, cast(Any, policy.lm.base_model)
    heads = lm.config.n_head

    def linear(layer: Any) -> Linear:
        weight, bias = parts_of(layer)
        return packing.linear(weight.t(), bias)  # Conv1D keeps (I, O)

    blocks: list[Block] = [
        _GPT2Block(
            heads=heads,
            scaling=layer.attn.scaling,
            before_attention=layer.ln_1,
            qkv=linear(layer.attn.c_attn),
            out=linear(layer.attn.c_proj),
            before_feedforward=layer.ln_2,
            up=linear(layer.mlp.c_fc),
            activation=layer.mlp.act,
            down=linear(layer.mlp.c_proj),
        )
        for layer in model.h
    ]
    nowhere = Place(model.wte.weight.new_empty(0))
    return Weights(
        heads=heads,
        kv_heads=heads,
        head_size=lm.config.n_embd // heads,
        blocks=blocks,
        embed=lambda tokens, positions: model.wte(tokens) + model.wpe(positions),
        place=lambda _: nowhere,
        norm=model.ln_f,
        head=_read_head(policy, packing),
    )
