"""A Llama-like block on packed tokens as one step of autograd: torch's products, and compiled work between them.

What autograd would do in sixty small steps a block, each reading and writing all states, is done in eight. Weights,
states and gradients are those of transformers' own block, to rounding. In 16 bits products are bfloat16, as autocast
has them; the residual stream, norms' sums and attention stay float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from heedful.models.fused.attend import room
from heedful.models.fused.attend_back import back_room
from heedful.models.fused.work import ATTEND, ATTEND_BACK, GATE, GATE_BACK, NORM, NORM_BACK, work
from heedful.models.layout import Paths

PART = 64  # tokens between two looks for more work
CHUNKS = 4  # parts of attention for each key head


class Plan(NamedTuple):
    """What stays the same for all blocks of a pass, and a block's own numbers."""

    paths: Paths
    cos: Tensor  # (U, D / 2)
    sin: Tensor
    heads: int
    kv_heads: int
    scaling: float
    window: int
    eps: float
    dtype: torch.dtype  # of products


class Weights(NamedTuple):
    """As transformers holds them. Matrices (O, I)"""

    before_attention: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    before_feedforward: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


def _joined(matrices: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    """One below the other, in the products' dtype."""
    out = matrices[0].new_empty((sum(len(m) for m in matrices), matrices[0].shape[1]), dtype=dtype)
    torch._foreach_copy_(list(out.split([len(m) for m in matrices])), list(matrices))
    return out


def _parts(rows: int) -> int:
    return -(-rows // PART)


def _norm(x: Tensor, gain: Tensor, eps: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """γ x / √(mean x² + ε), and 1 / √(…). (n, H) -> (n, H), (n,)"""
    out, scales = torch.empty_like(x, dtype=dtype), x.new_empty(len(x))
    where = x.data_ptr(), 0, x.data_ptr(), gain.data_ptr(), eps.data_ptr(), out.data_ptr(), scales.data_ptr()
    work(NORM, dtype, _parts(len(x)), *x.shape, *where)
    return out, scales


def _sum_and_norm(x: Tensor, y: Tensor, gain: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x + y first. (n, H), (n, H) -> (n, H), (n, H), (n,)"""
    total, out, scales = torch.empty_like(x), torch.empty_like(y), x.new_empty(len(x))
    where = [t.data_ptr() for t in (x, y, total, gain, eps, out, scales)]
    work(NORM, y.dtype, _parts(len(x)), *x.shape, *where)
    return total, out, scales


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """x + y in float32. (n, H), (n, H) -> (1, n, H)"""
    total = x.new_empty(1, *x.shape)
    work(NORM, y.dtype, _parts(len(x)), *x.shape, x.data_ptr(), y.data_ptr(), total.data_ptr(), 0, x.data_ptr(), 0, 0)
    return total


def _norm_back(x: Tensor, gain: Tensor, scales: Tensor, d_out: Tensor, d_x: Tensor) -> tuple[Tensor, Tensor]:
    """Adds the norm's share to d_x, in place. Returns d_x in d_out's dtype, and the gain's gradient. (n, H), (H,)"""
    parts = _parts(len(x))
    rounded, gains = torch.empty_like(d_out), x.new_empty(parts, x.shape[1])
    where = [t.data_ptr() for t in (x, gain, scales, d_out, d_x, rounded, gains)]
    work(NORM_BACK, d_out.dtype, parts, *x.shape, *where)
    return rounded, gains.sum(0)


def _numbers(plan: Plan, qkv: Tensor, scaling: Tensor, out: Tensor, logsums: Tensor, scratch: Tensor) -> list[int]:
    paths, size = plan.paths, 2 * plan.cos.shape[1]
    sizes = [len(qkv), plan.heads, plan.kv_heads, size, len(paths.shared), paths.longest, CHUNKS, plan.window]
    read = (qkv, plan.cos, plan.sin, paths.starts, paths.shared, paths.families, paths.tokens, scaling)
    where = [t.data_ptr() for t in (*read, out, logsums, scratch)]
    return [*sizes, *where, scratch.stride(0) * scratch.itemsize]


def _floats(*shape: int) -> Tensor:
    """Room in float32, whatever torch's default is."""
    return torch.empty(*shape, dtype=torch.float32)


def _number(value: float) -> Tensor:
    """One that compiled work reads."""
    return torch.tensor([value], dtype=torch.float32)


def _attend(plan: Plan, qkv: Tensor) -> tuple[Tensor, Tensor]:
    """-> (U, Q D), and log Σ exp of each query's scores (Q, U)"""
    size = 2 * plan.cos.shape[1]
    out, logsums = qkv.new_empty(len(qkv), plan.heads * size), _floats(plan.heads, len(qkv))
    scaling, scratch = _number(plan.scaling), _floats(torch.get_num_threads(), room(size, plan.paths.longest))
    told = _numbers(plan, qkv, scaling, out, logsums, scratch)
    work(ATTEND, qkv.dtype, plan.kv_heads * CHUNKS, *told)
    return out, logsums


def _attend_back(plan: Plan, qkv: Tensor, out: Tensor, logsums: Tensor, d_out: Tensor) -> Tensor:
    """-> as qkv"""
    size = 2 * plan.cos.shape[1]
    scaling, scratch = _number(plan.scaling), _floats(torch.get_num_threads(), back_room(size, plan.paths.longest))
    d_qkv, d_kv = torch.empty_like(qkv), _floats(2, plan.kv_heads, len(qkv), size).zero_()
    told = _numbers(plan, qkv, scaling, out, logsums, scratch)
    work(ATTEND_BACK, qkv.dtype, plan.kv_heads * CHUNKS, *told, *(t.data_ptr() for t in (d_out, d_qkv, d_kv)))
    return d_qkv


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, kept: Tensor | None, x: Tensor, *weights: Tensor) -> Tensor:  # (1, U, H)
        x = x.squeeze(0).contiguous()
        w, dtype, eps = Weights(*weights), plan.dtype, _number(plan.eps)
        first, first_scales = _norm(x, w.before_attention, eps, dtype)
        qkv = first @ _joined((w.q, w.k, w.v), dtype).t()
        mixed, logsums = _attend(plan, qkv)
        here, there = (x, mixed) if kept is None else (x.index_select(0, kept), mixed.index_select(0, kept))
        attended = there @ w.out.to(dtype).t()
        middle, second, second_scales = _sum_and_norm(here, attended, w.before_feedforward, eps)
        gate_up = second @ _joined((w.gate, w.up), dtype).t()
        opened = gate_up.new_empty(len(gate_up), len(w.gate))
        work(GATE, dtype, _parts(len(opened)), *opened.shape, gate_up.data_ptr(), opened.data_ptr())
        ctx.plan, ctx.kept = plan, kept
        states = x, first, first_scales, qkv, mixed, logsums, middle, second, second_scales, gate_up, opened
        ctx.save_for_backward(*weights, *states)
        return _sum(middle, opened @ w.down.to(dtype).t())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, d_end: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast("cpu", enabled=False):
            return None, None, *_back(ctx.plan, ctx.kept, d_end.squeeze(0), ctx.saved_tensors, ctx.needs_input_grad[3:])


def _back(
    plan: Plan, kept: Tensor | None, d_end: Tensor, saved: tuple[Tensor, ...], asked: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients of the states (1, U, H) and of the weights that are asked for, in their order."""
    dtype, size, count = plan.dtype, 2 * plan.cos.shape[1], len(Weights._fields)
    w, learns = Weights(*saved[:count]), dict(zip(Weights._fields, asked, strict=True))
    x, first, first_scales, qkv, mixed, logsums, middle, second, second_scales, gate_up, opened = saved[count:]
    d_middle = d_end.clone(memory_format=torch.contiguous_format)
    d_down = d_end.to(dtype)
    d_opened, d_gate_up = d_down @ w.down.to(dtype), torch.empty_like(gate_up)
    where = gate_up.data_ptr(), d_opened.data_ptr(), d_gate_up.data_ptr()
    work(GATE_BACK, dtype, _parts(len(opened)), *opened.shape, *where)
    d_second = d_gate_up @ _joined((w.gate, w.up), dtype)
    d_attended, d_second_gain = _norm_back(middle, w.before_feedforward, second_scales, d_second, d_middle)
    d_mixed, d_x = d_attended @ w.out.to(dtype), d_middle  # which the norm has added to
    if kept is not None:
        d_mixed = torch.zeros_like(mixed).index_copy_(0, kept, d_mixed)
        d_x = torch.zeros_like(x).index_copy_(0, kept, d_middle)
    d_qkv = _attend_back(plan, qkv, mixed, logsums, d_mixed)
    _, d_gain = _norm_back(x, w.before_attention, first_scales, d_qkv @ _joined((w.q, w.k, w.v), dtype), d_x)

    def product(name: str, d_out: Tensor, given: Tensor) -> Tensor | None:
        return (d_out.t() @ given).float() if learns[name] else None

    q, k, v = d_qkv.split([plan.heads * size, plan.kv_heads * size, plan.kv_heads * size], 1)
    gate, up = d_gate_up.chunk(2, 1)
    there = mixed if kept is None else mixed.index_select(0, kept)
    return (
        d_x[None], d_gain, product("q", q, first), product("k", k, first), product("v", v, first),
        product("out", d_attended, there), d_second_gain, product("gate", gate, second),
        product("up", up, second), product("down", d_down, opened),
    )  # fmt: skip


def block(plan: Plan, kept: Tensor | None, x: Tensor, weights: Weights) -> Tensor:
    """x + attention(norm(x)), then y + mlp(norm(y)) of that, at the tokens in `kept` alone. (1, U, H) -> (1, n, H)"""
    out: Tensor = _Block.apply(plan, kept, x, *weights)  # type: ignore[no-untyped-call]
    return out
