"""What a Llama-like block does between its products: norms, sums of the residual stream, gates; and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.ops.compiled.jit import SUMS, Floats, kernel
from heedful.ops.compiled.maths import clear, exp, widened, write
from heedful.ops.compiled.threads import FIRST, PARTS, TAKEN, array_at, counted, outer
from heedful.ops.compiled.tiles import stored

ZERO, ONE = np.float32(0), np.float32(1)


@kernel(*SUMS)
def _norm(x: Floats, gain: Floats, eps: np.float32, out: Any) -> Any:
    """out = γ x / √(mean x² + ε). Returns 1 / √(…)."""
    squares = ZERO
    for i in range(len(x)):
        squares += x[i] * x[i]
    scale = ONE / np.sqrt(squares / np.float32(len(x)) + eps)
    for i in range(len(x)):
        out[i] = stored(out.dtype, x[i] * scale * gain[i])
    return scale


@kernel(*SUMS)
def _norm_back(x: Floats, gain: Floats, scale: np.float32, d_out: Any, d_x: Floats, d_gain: Floats) -> None:
    """d_x += r (γ g − x r² mean(x γ g)), d_γ += g x r, with g = d_out and r = scale."""
    along = ZERO
    for i in range(len(x)):
        along += x[i] * gain[i] * widened(d_out[i])
    along *= scale * scale / np.float32(len(x))
    for i in range(len(x)):
        g = widened(d_out[i])
        d_x[i] += scale * (gain[i] * g - x[i] * along)
        d_gain[i] += g * x[i] * scale


@kernel("contract")
def _sum(x: Floats, y: Any, out: Floats) -> None:
    for i in range(len(x)):
        out[i] = x[i] + widened(y[i])


@kernel("contract")
def _gate(gate: Any, up: Any, out: Any) -> None:
    """out = silu(gate) · up"""
    for i in range(len(out)):
        a = widened(gate[i])
        out[i] = stored(out.dtype, a / (ONE + exp(-a)) * widened(up[i]))


@kernel("contract")
def _gate_back(gate: Any, up: Any, d_out: Any, d_gate: Any, d_up: Any) -> None:
    """With s = σ(a): d_up = g a s, d_gate = g u s (1 + a (1 − s))."""
    for i in range(len(d_out)):
        a, g = widened(gate[i]), widened(d_out[i])
        s = ONE / (ONE + exp(-a))
        d_up[i] = stored(d_up.dtype, g * a * s)
        d_gate[i] = stored(d_gate.dtype, g * widened(up[i]) * s * (ONE + a * (ONE - s)))


@kernel()
def _norm_rows(first: int, end: int, x: Floats, gain: Floats, eps: np.float32, out: Any, scales: Floats) -> None:
    for row in range(first, end):
        scales[row] = _norm(x[row], gain, eps, out[row])


@kernel()
def _sum_rows(first: int, end: int, x: Floats, y: Any, total: Floats) -> None:
    for row in range(first, end):
        _sum(x[row], y[row], total[row])


@kernel()
def _norm_back_rows(
    first: int, end: int, x: Floats, gain: Floats, scales: Floats, d_out: Any, d_x: Floats, rounded: Any,
    d_gain: Floats,
) -> None:  # fmt: skip
    clear(d_gain)
    for row in range(first, end):
        _norm_back(x[row], gain, scales[row], d_out[row], d_x[row], d_gain)
        write(d_x[row], rounded[row])


@kernel()
def _gate_rows(first: int, end: int, gate_up: Any, out: Any) -> None:
    width = out.shape[1]
    for row in range(first, end):
        _gate(gate_up[row, :width], gate_up[row, width:], out[row])


@kernel()
def _gate_back_rows(first: int, end: int, gate_up: Any, d_out: Any, d_gate_up: Any) -> None:
    width = d_out.shape[1]
    for row in range(first, end):
        _gate_back(
            gate_up[row, :width], gate_up[row, width:], d_out[row], d_gate_up[row, :width], d_gate_up[row, width:]
        )


@outer
def norm(numbers: Any, kind: Any) -> None:
    """rows, H, x, y or 0, total, γ, ε, out, scales: of x, or of total = x + y"""
    rows, hidden = numbers[FIRST], numbers[FIRST + 1]
    x = array_at(numbers[FIRST + 2], (rows, hidden), np.float32)
    y = array_at(numbers[FIRST + 3], (rows, hidden), kind)
    total = array_at(numbers[FIRST + 4], (rows, hidden), np.float32)
    gain, eps = array_at(numbers[FIRST + 5], (hidden,), np.float32), array_at(numbers[FIRST + 6], (1,), np.float32)[0]
    out, scales = array_at(numbers[FIRST + 7], (rows, hidden), kind), array_at(numbers[FIRST + 8], (rows,), np.float32)
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        first, end = part * rows // numbers[PARTS], (part + 1) * rows // numbers[PARTS]
        if numbers[FIRST + 3]:
            _sum_rows(first, end, x, y, total)
        if numbers[FIRST + 5]:
            _norm_rows(first, end, total, gain, eps, out, scales)


@outer
def norm_back(numbers: Any, kind: Any) -> None:
    """rows, H, x, γ, scales, d_out, d_x, rounded, d_γ of each part"""
    rows, hidden = numbers[FIRST], numbers[FIRST + 1]
    x, gain = (
        array_at(numbers[FIRST + 2], (rows, hidden), np.float32),
        array_at(numbers[FIRST + 3], (hidden,), np.float32),
    )
    scales, d_out = (
        array_at(numbers[FIRST + 4], (rows,), np.float32),
        array_at(numbers[FIRST + 5], (rows, hidden), kind),
    )
    d_x, rounded = (
        array_at(numbers[FIRST + 6], (rows, hidden), np.float32),
        array_at(numbers[FIRST + 7], (rows, hidden), kind),
    )
    d_gains = array_at(numbers[FIRST + 8], (numbers[PARTS], hidden), np.float32)
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        first, end = part * rows // numbers[PARTS], (part + 1) * rows // numbers[PARTS]
        _norm_back_rows(first, end, x, gain, scales, d_out, d_x, rounded, d_gains[part])


@outer
def gate(numbers: Any, kind: Any) -> None:
    """rows, F, gate and up, out"""
    rows, width = numbers[FIRST], numbers[FIRST + 1]
    gate_up, out = (
        array_at(numbers[FIRST + 2], (rows, 2 * width), kind),
        array_at(numbers[FIRST + 3], (rows, width), kind),
    )
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        _gate_rows(part * rows // numbers[PARTS], (part + 1) * rows // numbers[PARTS], gate_up, out)


@outer
def gate_back(numbers: Any, kind: Any) -> None:
    """rows, F, gate and up, d_out, their gradients"""
    rows, width = numbers[FIRST], numbers[FIRST + 1]
    gate_up, d_out = (
        array_at(numbers[FIRST + 2], (rows, 2 * width), kind),
        array_at(numbers[FIRST + 3], (rows, width), kind),
    )
    d_gate_up = array_at(numbers[FIRST + 4], (rows, 2 * width), kind)
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        first, end = part * rows // numbers[PARTS], (part + 1) * rows // numbers[PARTS]
        _gate_back_rows(first, end, gate_up, d_out, d_gate_up)
