"""A model's weights in the layout that the compiled step reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.models.heads import Policy
from heedful.ops.compiled.jit import Floats, Panels
from heedful.ops.compiled.tiles import BYTES, PANEL, whole
from heedful.sampling.compiled.states import aligned
from heedful.sampling.compiled.step import Model
from heedful.sampling.linear import Packing, Plain
from heedful.sampling.weights import LlamaBlock, read_weights


def read_model(policy: Policy, columns: int, dtype: torch.dtype = torch.float32) -> Model:
    """The weights now, with position tables for so many tokens; of a policy that `can_compile` accepts.

    dtype: of what products read, float32 or bfloat16. Embeddings, norms and biases are float32.
    """
    weights = read_weights(policy, columns, Packing(1, 1))
    blocks = cast("list[LlamaBlock]", weights.blocks)
    norm, head = cast(Any, weights.norm), cast(Plain, weights.head)

    def gains(of: Callable[[LlamaBlock], Any]) -> Floats:
        return _array(torch.stack([of(block).gain for block in blocks]))

    def layers(of: Callable[[LlamaBlock], Any]) -> tuple[Panels, Floats]:
        return _panels([of(block) for block in blocks], dtype)

    qkv, qkv_bias = layers(lambda block: block.qkv)
    out, out_bias = layers(lambda block: block.out)
    gate_up, gate_up_bias = layers(lambda block: block.gate_up)
    down, down_bias = layers(lambda block: block.down)
    [head_panels], [head_bias] = _panels([head], dtype)
    return Model(
        heads=weights.heads,
        kv_heads=weights.kv_heads,
        embeddings=_array(policy.lm.get_input_embeddings().weight.clone()),
        angles=_array(torch.view_as_real(weights.place(torch.arange(columns)).turn[:, 0])),
        eps=np.float32(norm.eps.item()),
        before_attention=gains(lambda block: block.before_attention),
        qkv=qkv,
        qkv_bias=qkv_bias,
        head_gain=gains(lambda block: block.head_norm) if blocks[0].head_norm else np.zeros((0, 1, 1), np.float32),
        scaling=np.array([block.scaling for block in blocks], np.float32),
        windows=np.array([block.window for block in blocks], np.int64),
        out=out,
        out_bias=out_bias,
        before_feedforward=gains(lambda block: block.before_feedforward),
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        width=cast(Plain, blocks[0].down).matrix.shape[0],
        down=down,
        down_bias=down_bias,
        norm=_array(norm.gain.clone()),
        head=head_panels,
        head_bias=head_bias,
    )


def multiplications(model: Model) -> int:
    """For one row of a step, attention left out."""
    return sum(p.size for p in (model.qkv, model.out, model.gate_up, model.down, model.head))


def _array(tensor: Tensor) -> Floats:
    """A tensor of our own as an array, never the model's: NumPy would pin its storage, which sharding has to free."""
    return cast(Floats, tensor.detach().contiguous().numpy())


def _panels(layers: Sequence[Plain], dtype: torch.dtype) -> tuple[Panels, Floats]:
    """Matrices (I, O) as (layers, O / PANEL, I / P, PANEL, P), and biases (layers, O), zero where there are none.

    P is 1 in float32, 2 in bfloat16: a pair is copied as one number of 4 bytes.
    """
    pair = BYTES // dtype.itemsize
    depth, width = layers[0].matrix.shape
    lines, wide = -(-depth // pair), whole(width)
    held = np.float32 if pair == 1 else np.int32
    panels = torch.from_numpy(aligned((len(layers), wide // PANEL, lines, PANEL), held))
    biases = torch.zeros(len(layers), wide)
    for layer, panel, bias in zip(layers, panels, biases, strict=True):
        missing = (0, pair * lines - depth, 0, wide - width)
        rows = pad(layer.matrix.t(), missing) if any(missing) else layer.matrix.t()
        lying = rows.to(dtype).contiguous().view(panels.dtype)  # (O, I / P)
        panel.copy_(lying.unflatten(0, (-1, PANEL)).transpose(1, 2))
        if layer.bias is not None:
            bias[:width] = layer.bias
    return panels.numpy()[..., None].view(np.float32 if pair == 1 else np.uint16), _array(biases)
