"""A Llama-like block on packed tokens as one step of autograd: torch's products, and compiled work between them.

What autograd would do in sixty small steps a block, each reading and writing all states, is done in eight. Weights,
states and gradients are those of transformers' own block, to rounding. In 16 bits products are bfloat16, as autocast
has them; the residual stream, norms' sums and attention stay float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.models.fused.attend import back_room, room
from heedful.models.fused.work import ATTEND, ATTEND_BACK, GATE, GATE_BACK, NORM, NORM_BACK, work
from heedful.models.layout import Paths

PART = 64  # tokens between two looks for more work


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
    """x + y in float32. (n, H), (n, H) -> (n, H)"""
    total = torch.empty_like(x)
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
    sizes = [len(qkv), plan.heads, plan.kv_heads, size, len(paths.shared), paths.longest, paths.chunks, plan.window]
    read = (qkv, plan.cos, plan.sin, paths.starts, paths.shared, paths.tokens, scaling)
    where = [t.data_ptr() for t in (*read, out, logsums, scratch)]
    return [*sizes, *where, scratch.stride(0) * scratch.itemsize]


def _attend(plan: Plan, qkv: Tensor) -> tuple[Tensor, Tensor]:
    """-> (U, Q D), and log Σ exp of each query's scores (Q, U)"""
    size = 2 * plan.cos.shape[1]
    out, logsums = qkv.new_empty(len(qkv), plan.heads * size), plan.cos.new_empty(plan.heads, len(qkv))
    scaling, scratch = (
        torch.tensor([plan.scaling]),
        torch.empty(torch.get_num_threads(), room(size, plan.paths.longest)),
    )
    parts = plan.kv_heads * plan.paths.chunks
    work(ATTEND, qkv.dtype, parts, *_numbers(plan, qkv, scaling, out, logsums, scratch))
    return out, logsums


def _attend_back(plan: Plan, qkv: Tensor, out: Tensor, logsums: Tensor, d_out: Tensor) -> Tensor:
    """-> as qkv"""
    size = 2 * plan.cos.shape[1]
    scaling = torch.tensor([plan.scaling])
    scratch = torch.empty(torch.get_num_threads(), back_room(size, plan.paths.longest))
    d_qkv, d_kv = torch.empty_like(qkv), plan.cos.new_zeros(2, plan.kv_heads, len(qkv), size)
    written = (d_out.data_ptr(), d_qkv.data_ptr(), d_kv.data_ptr())
    parts = plan.kv_heads * plan.paths.chunks
    work(ATTEND_BACK, qkv.dtype, parts, *_numbers(plan, qkv, scaling, out, logsums, scratch), *written)
    return d_qkv


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, kept: Tensor | None, x: Tensor, *weights: Tensor) -> Tensor:  # (U, H)
        w, dtype, eps = Weights(*weights), plan.dtype, torch.tensor([plan.eps])
        qkv_matrix, out_matrix = _joined((w.q, w.k, w.v), dtype), w.out.to(dtype)
        gate_up_matrix, down_matrix = _joined((w.gate, w.up), dtype), w.down.to(dtype)
        first, first_scales = _norm(x, w.before_attention, eps, dtype)
        qkv = first @ qkv_matrix.t()
        mixed, logsums = _attend(plan, qkv)
        here, there = (x, mixed) if kept is None else (x.index_select(0, kept), mixed.index_select(0, kept))
        middle, second, second_scales = _sum_and_norm(here, there @ out_matrix.t(), w.before_feedforward, eps)
        gate_up = second @ gate_up_matrix.t()
        opened = gate_up.new_empty(len(gate_up), len(w.gate))
        work(GATE, dtype, _parts(len(opened)), *opened.shape, gate_up.data_ptr(), opened.data_ptr())
        ctx.plan, ctx.kept = plan, kept
        matrices = qkv_matrix, out_matrix, gate_up_matrix, down_matrix
        states = x, first, first_scales, qkv, mixed, logsums, middle, second, second_scales, gate_up, opened
        ctx.save_for_backward(w.before_attention, w.before_feedforward, *matrices, *states)
        return _sum(middle, opened @ down_matrix.t())

    @staticmethod
    def backward(ctx: Any, d_end: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        plan, kept, dtype = ctx.plan, ctx.kept, ctx.plan.dtype
        gain, second_gain, qkv_matrix, out_matrix, gate_up_matrix, down_matrix, *states = ctx.saved_tensors
        x, first, first_scales, qkv, mixed, logsums, middle, second, second_scales, gate_up, opened = states
        d_middle = d_end.clone(memory_format=torch.contiguous_format)
        d_down = d_end.to(dtype)
        d_opened = d_down @ down_matrix
        d_gate_up = torch.empty_like(gate_up)
        where = gate_up.data_ptr(), d_opened.data_ptr(), d_gate_up.data_ptr()
        work(GATE_BACK, dtype, _parts(len(opened)), *opened.shape, *where)
        d_attended, d_second_gain = _norm_back(
            middle, second_gain, second_scales, d_gate_up @ gate_up_matrix, d_middle
        )  # now d_middle is all of it
        there = mixed if kept is None else mixed.index_select(0, kept)
        d_mixed, d_x = d_attended @ out_matrix, d_middle
        if kept is not None:
            d_mixed = torch.zeros_like(mixed).index_copy_(0, kept, d_mixed)
            d_x = torch.zeros_like(x).index_copy_(0, kept, d_middle)
        d_qkv = _attend_back(plan, qkv, mixed, logsums, d_mixed)
        _, d_gain = _norm_back(x, gain, first_scales, d_qkv @ qkv_matrix, d_x)
        size = 2 * plan.cos.shape[1]
        d_q, d_k, d_v = (
            (d_qkv.t() @ first).float().split([n * size for n in (plan.heads, plan.kv_heads, plan.kv_heads)])
        )
        d_gate, d_up = (d_gate_up.t() @ second).float().chunk(2)
        d_out = (d_attended.t() @ there).float()
        d_down_matrix = (d_down.t() @ opened).float()
        return None, None, d_x, d_gain, d_q, d_k, d_v, d_out, d_second_gain, d_gate, d_up, d_down_matrix


def block(plan: Plan, kept: Tensor | None, x: Tensor, weights: Weights) -> Tensor:
    """x + attention(norm(x)), then y + mlp(norm(y)) of that, at the tokens in `kept` alone. (U, H) -> (n, H)"""
    out: Tensor = _Block.apply(plan, kept, x, *weights)  # type: ignore[no-untyped-call]
    return out
