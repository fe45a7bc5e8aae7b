"""The parts of a decoding step between its matrix products, each for one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.ops.compiled.jit import SUMS, Floats, Pairs, Panels, kernel
from heedful.ops.compiled.maths import clear, exp, largest
from heedful.ops.compiled.tiles import BYTES, PANEL, add_tiles, pair_up, stored
from heedful.sampling.draw import BLOCK

ZERO, ONE = np.float32(0), np.float32(1)


@kernel()
def copy(origin: NDArray[Any], target: NDArray[Any]) -> None:
    """target (len(origin) or more,)"""
    for i in range(len(origin)):
        target[i] = origin[i]


@kernel()
def add(summand: Floats, target: Floats) -> None:
    """target += summand, of one length"""
    for i in range(len(summand)):
        target[i] += summand[i]


@kernel(*SUMS)
def exponentials(x: Floats, scale: np.float32) -> np.float32:
    """x becomes exp(scale · (x − max x)). Returns their sum; no number where an x is none."""
    best = largest(x)
    for i in range(len(x)):
        x[i] = exp(scale * (x[i] - best))
    total = ZERO
    for i in range(len(x)):
        total += x[i]
    return total


@kernel(*SUMS)
def normed(x: Floats, gain: Floats, eps: np.float32, out: Floats) -> None:
    """out = γ · x / √(mean x² + ε). x (H or more,), gain (H,)"""
    squares = ZERO
    for i in range(len(gain)):
        squares += x[i] * x[i]
    scale = ONE / np.sqrt(squares / np.float32(len(gain)) + eps)
    for i in range(len(gain)):
        out[i] = x[i] * scale * gain[i]


@kernel("contract")
def turn(head: Floats, angles: Floats) -> None:
    """Turn each neighbouring pair of a head. head (D,), angles (D / 2, 2): cos θ, sin θ"""
    for j in range(len(angles)):
        a, b = head[2 * j], head[2 * j + 1]
        head[2 * j] = a * angles[j, 0] - b * angles[j, 1]
        head[2 * j + 1] = a * angles[j, 1] + b * angles[j, 0]


@kernel(*SUMS)
def gated(gate: Floats, up: Floats) -> None:
    """gate becomes silu(gate) · up = gate / (1 + e^−gate) · up."""
    for i in range(len(gate)):
        gate[i] = gate[i] / (ONE + exp(-gate[i])) * up[i]


@kernel()
def remember(key: Floats, value: Floats, at: int, keys: Panels, values: Panels) -> None:
    """Put a head's new key and value (D,) in column `at` of a row's, which lie as `add_product` reads them.

    keys (pages, D / P, PANEL, P): panels of columns. values (D / PANEL, columns / P, PANEL, P). P is 1 in float32; in
    bfloat16 it is 2: pairs of a head's numbers, or of columns.
    """
    pair, page, place = keys.shape[3], at // PANEL, at % PANEL
    line, half = at // pair, at % pair
    for part in range(pair):
        for d in range(keys.shape[1]):
            keys[page, d, place, part] = stored(keys.dtype, key[pair * d + part])
    for d in range(len(value)):
        values[d // PANEL, line, d % PANEL, half] = stored(values.dtype, value[d])


@kernel(*SUMS)
def attend(
    q: Floats, begin: int, at: int, keys: Panels, values: Panels, scaling: np.float32, scores: Floats, pairs: Pairs,
    out: Floats,
) -> None:  # fmt: skip
    """softmax(scaling · q kᵀ) v over the columns begin..at of one key head. q (G, D), out (G · D,)

    The query heads that share it are rows of one product. keys, values: as `remember` has them. scores: two lines for
    each of the G, as long as the columns and the head size, each up to a whole panel; pairs: one, where keys are in
    bfloat16.
    """
    group, size, pair = len(q), q.shape[1], keys.shape[3]
    page, pages, skipped = begin // PANEL, at // PANEL + 1 - begin // PANEL, begin % PANEL
    odd, seen = begin % pair, at + 1 - begin
    lines = (odd + seen + pair - 1) // pair  # of values
    mixed = scores[group:]
    lane = scores.strides[0]
    for g in range(group):
        clear(scores[g, : pages * PANEL])
        clear(mixed[g, : values.shape[0] * PANEL])
        if pair == 2:
            pair_up(q[g], pairs[g])
    x, step = q.ctypes.data, size * BYTES
    if pair == 2:
        x, step = pairs.ctypes.data, pairs.strides[0]
    here, there = keys[page], values[0, begin // pair]
    add_tiles(
        keys.dtype, group, x, step, here.ctypes.data, keys.strides[0], pages, keys.shape[1], scores.ctypes.data, lane
    )
    for g in range(group):
        weights = scores[g, skipped : skipped + seen]
        share = ONE / exponentials(weights, scaling)
        for i in range(seen):
            weights[i] *= share
        if pair == 2:  # what a pair has beside these columns counts for nothing
            clear(scores[g, skipped - odd : skipped])
            clear(scores[g, skipped + seen : skipped - odd + 2 * lines])
            pair_up(scores[g, skipped - odd : skipped - odd + 2 * lines], pairs[g])
    if pair == 1:
        x, step = scores.ctypes.data + skipped * BYTES, lane
    add_tiles(
        values.dtype, group, x, step, there.ctypes.data, values.strides[0], values.shape[0], lines, mixed.ctypes.data,
        lane,
    )  # fmt: skip
    for g in range(group):
        copy(mixed[g, :size], out[g * size :])


@kernel("contract")
def _search(masses: Floats, share: np.float32, wanted: np.float32) -> tuple[int, np.float32]:
    """The first index whose cumulative mass exceeds share · total + wanted, and what is wanted beyond that before it.

    Rounding may bring that up to the total; it is held just below, so that no token without mass is ever drawn.
    """
    total = ZERO
    for i in range(len(masses)):
        total += masses[i]
    wanted = min(share * total + wanted, np.nextafter(total, ZERO))
    before, index = ZERO, 0
    while index + 1 < len(masses) and before + masses[index] <= wanted:
        before += masses[index]
        index += 1
    return index, wanted - before


@kernel(*SUMS)
def drawn(logits: Floats, uniform: np.float32, temperature: np.float32, blocks: Floats) -> tuple[Any, Any, np.float32]:
    """As `draw.draw`: a token of softmax(logits / temperature), the best one at 0, and its log-probability.

    The logits become weights; their sum, returned last, is no number where the logits are none. blocks (V / 32,)
    """
    token: Any = np.argmax(logits) if temperature == ZERO else 0
    exponentials(logits, ONE if temperature == ZERO else ONE / temperature)
    total = ZERO
    for block in range(len(blocks)):
        mass = ZERO
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(logits))):
            mass += logits[i]
        blocks[block] = mass
        total += mass
    if temperature > ZERO:
        block, rest = _search(blocks, uniform, ZERO)
        inside, _ = _search(logits[block * BLOCK : (block + 1) * BLOCK], ZERO, rest)
        token = block * BLOCK + inside
    return token, np.log(logits[token] / total), total
