"""The gradient of packed attention (`attend`), weights made again from what the forward pass kept of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.models.fused.attend import (
    BLOCK,
    D_KV,
    D_OUT,
    D_QKV,
    LONGEST,
    SCRATCH,
    SCRATCH_BYTES,
    SIZE,
    TOKENS,
    Asked,
    Shape,
    across,
    asked_of,
    cut,
    down,
    product,
    read,
    turned,
)
from heedful.ops.compiled.jit import SUMS, Floats, Integers, kernel
from heedful.ops.compiled.maths import clear, exp, write
from heedful.ops.compiled.threads import BEGUN, PARTS, TAKEN, array_at, counted, outer
from heedful.ops.compiled.tiles import BYTES, PANEL, add_tiles_of, stored, whole


def back_room(size: int, longest: int) -> int:
    """The same of `BackRoom`."""
    wide: int = whole(size)
    columns: int = whole(longest)
    return int(columns * (2 * size + 3 * wide)) + BLOCK * (2 * size + 3 * wide + 2 * columns) + wide


@kernel("contract")
def _turned_back(gradient: Floats, cos: Floats, sin: Floats, out: Any) -> None:
    half = len(cos)
    for d in range(half):
        a, b = gradient[d], gradient[d + half]
        out[d] = stored(out.dtype, a * cos[d] + b * sin[d])
        out[d + half] = stored(out.dtype, b * cos[d] - a * sin[d])


@kernel()
def _add_turned_product(x: Floats, panels: Floats, count: int, depth: int, out: Floats, rows: int) -> None:
    """out += xᵀ W for the first of x's columns and `depth` of its rows."""
    add_tiles_of(
        panels.dtype, rows, x.ctypes.data, BYTES, x.strides[0], panels.ctypes.data, panels.strides[0], count, depth,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip


@kernel(*SUMS)
def _dot(x: Floats, y: Floats) -> Any:
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@kernel("contract")
def _weights_again(x: Floats, scaling: np.float32, logsum: np.float32) -> None:
    for i in range(len(x)):
        x[i] = exp(scaling * x[i] - logsum)


@kernel("contract")
def _through_softmax(p: Floats, gradient: Floats, delta: np.float32, scaling: np.float32) -> None:
    """gradient becomes scaling · p (gradient − delta)."""
    for i in range(len(p)):
        gradient[i] = scaling * p[i] * (gradient[i] - delta)


@kernel()
def _add_row(x: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] += x[i]


class BackRoom(NamedTuple):
    """The same for gradients."""

    keys_down: Floats
    values_down: Floats
    keys_across: Floats
    d_keys: Floats  # (longest, W)
    d_values: Floats
    queries: Floats  # (BLOCK, D)
    d_mixed: Floats
    queries_across: Floats
    d_mixed_across: Floats
    d_queries: Floats  # (BLOCK, W)
    scores: Floats  # (BLOCK, longest)
    d_scores: Floats
    line: Floats  # (W,)


@outer
def attend_back(numbers: Any, kind: Any) -> None:
    shape, asked = asked_of(numbers, kind)
    room = numbers[SCRATCH] + counted(numbers, BEGUN) * numbers[SCRATCH_BYTES]
    tokens, size = numbers[TOKENS], numbers[SIZE]
    d_out = array_at(numbers[D_OUT], (tokens, shape.heads * size), kind)
    d_qkv = array_at(numbers[D_QKV], (tokens, (shape.heads + 2 * shape.kv_heads) * size), kind)
    d_kv = array_at(numbers[D_KV], (2, shape.kv_heads, tokens, size), np.float32)
    wide, columns = whole(size), whole(numbers[LONGEST])
    keys_down, room = cut(room, (columns // PANEL, size, PANEL))
    values_down, room = cut(room, (columns // PANEL, size, PANEL))
    keys_across, room = cut(room, (wide // PANEL, columns, PANEL))
    d_keys, room = cut(room, (columns, wide))
    d_values, room = cut(room, (columns, wide))
    queries, room = cut(room, (BLOCK, size))
    d_mixed, room = cut(room, (BLOCK, size))
    queries_across, room = cut(room, (wide // PANEL, BLOCK, PANEL))
    d_mixed_across, room = cut(room, (wide // PANEL, BLOCK, PANEL))
    d_queries, room = cut(room, (BLOCK, wide))
    scores, room = cut(room, (BLOCK, columns))
    d_scores, room = cut(room, (BLOCK, columns))
    line, _ = cut(room, (wide,))
    own = BackRoom(
        keys_down, values_down, keys_across, d_keys, d_values, queries, d_mixed, queries_across, d_mixed_across,
        d_queries, scores, d_scores, line,
    )  # fmt: skip
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        _backward(shape, asked, own, d_out, d_qkv, d_kv, part // shape.chunks, part % shape.chunks)


@kernel()
def _lay_out(
    qkv: Any, cos: Floats, sin: Floats, path: Integers, key_first: int, value_first: int, own: BackRoom
) -> None:
    """A sequence's keys and values in panels; its gradients zero."""
    line = own.line[: own.queries.shape[1]]
    size = len(line)
    for j in range(len(path)):
        at = path[j]
        turned(qkv[at, key_first : key_first + size], cos[at], sin[at], line)
        down(line, j, own.keys_down)
        across(line, j, own.keys_across)
        read(qkv[at, value_first : value_first + size], line)
        down(line, j, own.values_down)
        clear(own.d_keys[j])
        clear(own.d_values[j])


@kernel()
def _backward(
    shape: Shape, asked: Asked, own: BackRoom, d_out: Any, d_qkv: Any, d_kv: Floats, kv: int, chunk: int
) -> None:
    """A key head's share of some sequences."""
    heads, kv_heads, chunks, window, scaling = shape
    qkv, cos, sin, starts, shared, families, paths, out, logsums = asked
    size, group = own.queries.shape[1], heads // kv_heads
    panels = own.keys_across.shape[0]
    line = own.line[:size]
    key_first, value_first = (heads + kv) * size, (heads + kv_heads + kv) * size
    for row in range(len(shared)):
        if families[row] % chunks != chunk:
            continue
        path = paths[starts[row] : starts[row + 1]]
        _lay_out(qkv, cos, sin, path, key_first, value_first, own)
        for head in range(kv * group, (kv + 1) * group):
            columns = slice(head * size, (head + 1) * size)
            for begin in range(shared[row], len(path), BLOCK):
                end = min(begin + BLOCK, len(path))
                count, pages = end - begin, (end + PANEL - 1) // PANEL
                for i in range(count):
                    at = path[begin + i]
                    turned(qkv[at, columns], cos[at], sin[at], own.queries[i])
                    across(own.queries[i], i, own.queries_across)
                    read(d_out[at, columns], own.d_mixed[i])
                    across(own.d_mixed[i], i, own.d_mixed_across)
                product(own.queries, own.keys_down, pages, size, own.scores, count)
                product(own.d_mixed, own.values_down, pages, size, own.d_scores, count)
                for i in range(count):
                    at, last = path[begin + i], begin + i + 1
                    low = max(0, last - window)
                    read(out[at, columns], line)
                    delta = _dot(line, own.d_mixed[i])
                    p, d_p = own.scores[i], own.d_scores[i]
                    _weights_again(p[low:last], scaling, logsums[head, at])
                    _through_softmax(p[low:last], d_p[low:last], delta, scaling)
                    clear(p[:low])
                    clear(d_p[:low])
                    clear(p[last:end])
                    clear(d_p[last:end])
                product(own.d_scores, own.keys_across, panels, end, own.d_queries, count)
                for i in range(count):
                    at = path[begin + i]
                    _turned_back(own.d_queries[i], cos[at], sin[at], d_qkv[at, columns])
                _add_turned_product(own.scores, own.d_mixed_across, panels, count, own.d_values, end)
                _add_turned_product(own.d_scores, own.queries_across, panels, count, own.d_keys, end)
        for j in range(len(path)):
            _add_row(own.d_keys[j], d_kv[0, kv, path[j]])
            _add_row(own.d_values[j], d_kv[1, kv, path[j]])
    for row in range(len(shared)):  # now that no other one adds to what they share
        if families[row] % chunks != chunk:
            continue
        for j in range(starts[row] + shared[row], starts[row + 1]):
            at = paths[j]
            _turned_back(d_kv[0, kv, at], cos[at], sin[at], d_qkv[at, key_first : key_first + size])
            write(d_kv[1, kv, at], d_qkv[at, value_first : value_first + size])
