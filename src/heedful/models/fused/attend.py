"""Attention of packed sequences and its gradient, from the product that gives q, k and v.

A sequence's keys and values are laid in panels once; its queries then come in blocks, a product of `tiles` each. What
lies behind a block's last query is not looked at. (Dao 2022, algorithms 2 and 4, with rows as long as the cache holds.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.ops.compiled.jit import SUMS, Floats, Integers, kernel
from heedful.ops.compiled.maths import clear, exp, largest, widened, write
from heedful.ops.compiled.threads import BEGUN, FIRST, PARTS, TAKEN, array_at, counted, outer
from heedful.ops.compiled.tiles import BYTES, PANEL, add_tiles, add_tiles_of, stored, whole

BLOCK = 48  # queries
# What a call is told, in this order.
(
    TOKENS,
    HEADS,
    KV_HEADS,
    SIZE,
    SEQUENCES,
    LONGEST,
    CHUNKS,
    WINDOW,
    QKV,
    COS,
    SIN,
    STARTS,
    SHARED,
    FAMILIES,
    PATHS,
    SCALING,
    OUT,
    LOGSUMS,
    SCRATCH,
    SCRATCH_BYTES,
    D_OUT,
    D_QKV,
    D_KV,
) = range(FIRST, FIRST + 23)
ONE = np.float32(1)


def room(size: int, longest: int) -> int:
    """How many float32 a thread's `Room` takes, for heads of this size and sequences up to `longest`."""
    wide: int = whole(size)
    columns: int = whole(longest)
    return int(columns * (size + wide)) + BLOCK * (size + columns + wide) + wide


def back_room(size: int, longest: int) -> int:
    """The same of `BackRoom`."""
    wide: int = whole(size)
    columns: int = whole(longest)
    return int(columns * (2 * size + 3 * wide)) + BLOCK * (2 * size + 3 * wide + 2 * columns) + wide


@kernel("contract")
def _turned(given: Any, cos: Floats, sin: Floats, out: Floats) -> None:
    """Rotary positions: the halves (a, b) of a head become (a cos − b sin, b cos + a sin)."""
    half = len(cos)
    for d in range(half):
        a, b = widened(given[d]), widened(given[d + half])
        out[d] = a * cos[d] - b * sin[d]
        out[d + half] = b * cos[d] + a * sin[d]


@kernel("contract")
def _turned_back(gradient: Floats, cos: Floats, sin: Floats, out: Any) -> None:
    half = len(cos)
    for d in range(half):
        a, b = gradient[d], gradient[d + half]
        out[d] = stored(out.dtype, a * cos[d] + b * sin[d])
        out[d + half] = stored(out.dtype, b * cos[d] - a * sin[d])


@kernel()
def _read(given: Any, out: Floats) -> None:
    for d in range(len(given)):
        out[d] = widened(given[d])


@kernel()
def _down(row: Floats, at: int, panels: Floats) -> None:
    """Put a row as column `at` of panels (n / PANEL, D, PANEL)."""
    page, place = at // PANEL, at % PANEL
    for d in range(len(row)):
        panels[page, d, place] = row[d]


@kernel()
def _across(row: Floats, at: int, panels: Floats) -> None:
    """Put a row as line `at` of panels (W / PANEL, n, PANEL)."""
    for first in range(0, len(row), PANEL):
        for d in range(first, min(first + PANEL, len(row))):
            panels[first // PANEL, at, d - first] = row[d]


@kernel()
def _product(x: Floats, panels: Floats, count: int, depth: int, out: Floats, rows: int) -> None:
    """out = x W for the first rows, `count` panels and `depth` of x's columns."""
    for r in range(rows):
        clear(out[r, : count * PANEL])
    add_tiles(
        panels.dtype, rows, x.ctypes.data, x.strides[0], panels.ctypes.data, panels.strides[0], count, depth,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip


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


@kernel(*SUMS)
def _weigh(x: Floats, scaling: np.float32, most: np.float32) -> Any:
    """x becomes exp(scaling (x − most)); their sum."""
    for i in range(len(x)):
        x[i] = exp(scaling * (x[i] - most))
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i]
    return total


@kernel("contract")
def _scale(x: Floats, by: np.float32) -> None:
    for i in range(len(x)):
        x[i] *= by


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


class Asked(NamedTuple):
    """What attention is given, as arrays."""

    qkv: Any  # (U, (Q + 2K) D)
    cos: Floats  # (U, D / 2)
    sin: Floats
    starts: Integers  # (R + 1,) where each sequence's tokens begin in paths
    shared: Integers  # (R,) how many of them have no query here
    families: Integers  # (R,) sequences that share tokens have one number
    paths: Integers  # positions in (U,)
    out: Any  # (U, Q D)
    logsums: Floats  # (Q, U)


class Shape(NamedTuple):
    heads: int
    kv_heads: int
    chunks: int  # of families, each a part for each of the kv_heads
    window: int
    scaling: Any


@outer
def _cut(room: int, shape: Any) -> Any:
    """An array of float32 at an address, and the address behind it."""
    array = array_at(room, shape, np.float32)
    return array, room + array.size * BYTES


@outer
def _asked(numbers: Any, kind: Any) -> Any:
    tokens, heads, kv_heads, size, rows = (
        numbers[TOKENS],
        numbers[HEADS],
        numbers[KV_HEADS],
        numbers[SIZE],
        numbers[SEQUENCES],
    )
    starts = array_at(numbers[STARTS], (rows + 1,), np.int64)
    shape = Shape(heads, kv_heads, numbers[CHUNKS], numbers[WINDOW], array_at(numbers[SCALING], (1,), np.float32)[0])
    asked = Asked(
        array_at(numbers[QKV], (tokens, (heads + 2 * kv_heads) * size), kind),
        array_at(numbers[COS], (tokens, size // 2), np.float32),
        array_at(numbers[SIN], (tokens, size // 2), np.float32),
        starts,
        array_at(numbers[SHARED], (rows,), np.int64),
        array_at(numbers[FAMILIES], (rows,), np.int64),
        array_at(numbers[PATHS], (starts[rows],), np.int64),
        array_at(numbers[OUT], (tokens, heads * size), kind),
        array_at(numbers[LOGSUMS], (heads, tokens), np.float32),
    )
    return shape, asked


class Room(NamedTuple):
    """A thread's own, reused from sequence to sequence."""

    keys: Floats  # panels, as `_down` puts them
    values: Floats  # as `_across`
    queries: Floats  # (BLOCK, D)
    scores: Floats  # (BLOCK, longest)
    mixed: Floats  # (BLOCK, W)
    line: Floats  # (W,)


@outer
def attend(numbers: Any, kind: Any) -> None:
    shape, asked = _asked(numbers, kind)
    room = numbers[SCRATCH] + counted(numbers, BEGUN) * numbers[SCRATCH_BYTES]
    size = numbers[SIZE]
    wide, columns = whole(size), whole(numbers[LONGEST])
    keys, room = _cut(room, (columns // PANEL, size, PANEL))
    values, room = _cut(room, (wide // PANEL, columns, PANEL))
    queries, room = _cut(room, (BLOCK, size))
    scores, room = _cut(room, (BLOCK, columns))
    mixed, room = _cut(room, (BLOCK, wide))
    own = Room(keys, values, queries, scores, mixed, _cut(room, (wide,))[0])
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        _forward(shape, asked, own, part // shape.chunks, part % shape.chunks)


@kernel()
def _forward(shape: Shape, asked: Asked, own: Room, kv: int, chunk: int) -> None:
    """A key head's share of some sequences."""
    heads, kv_heads, chunks, window, scaling = shape
    qkv, cos, sin, starts, shared, families, paths, out, logsums = asked
    keys, values, queries, scores, mixed, line = own
    size, group = queries.shape[1], heads // kv_heads
    for row in range(len(shared)):
        if families[row] % chunks != chunk:
            continue
        path = paths[starts[row] : starts[row + 1]]
        for j in range(len(path)):
            at = path[j]
            first = (heads + kv) * size
            _turned(qkv[at, first : first + size], cos[at], sin[at], line[:size])
            _down(line[:size], j, keys)
            first += kv_heads * size
            _read(qkv[at, first : first + size], line[:size])
            _across(line[:size], j, values)
        for head in range(kv * group, (kv + 1) * group):
            columns = slice(head * size, (head + 1) * size)
            for begin in range(shared[row], len(path), BLOCK):
                end = min(begin + BLOCK, len(path))
                for i in range(begin, end):
                    at = path[i]
                    _turned(qkv[at, columns], cos[at], sin[at], queries[i - begin])
                _product(queries, keys, (end + PANEL - 1) // PANEL, size, scores, end - begin)
                for i in range(begin, end):
                    low = max(0, i + 1 - window)
                    line_of = scores[i - begin]
                    seen = line_of[low : i + 1]
                    most = largest(seen)
                    total = _weigh(seen, scaling, most)
                    logsums[head, path[i]] = scaling * most + np.log(total)
                    _scale(seen, ONE / total)
                    clear(line_of[:low])
                    clear(line_of[i + 1 : end])
                _product(scores, values, values.shape[0], end, mixed, end - begin)
                for i in range(begin, end):
                    write(mixed[i - begin], out[path[i], columns])


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
    shape, asked = _asked(numbers, kind)
    room = numbers[SCRATCH] + counted(numbers, BEGUN) * numbers[SCRATCH_BYTES]
    tokens, size = numbers[TOKENS], numbers[SIZE]
    d_out = array_at(numbers[D_OUT], (tokens, shape.heads * size), kind)
    d_qkv = array_at(numbers[D_QKV], (tokens, (shape.heads + 2 * shape.kv_heads) * size), kind)
    d_kv = array_at(numbers[D_KV], (2, shape.kv_heads, tokens, size), np.float32)
    wide, columns = whole(size), whole(numbers[LONGEST])
    keys_down, room = _cut(room, (columns // PANEL, size, PANEL))
    values_down, room = _cut(room, (columns // PANEL, size, PANEL))
    keys_across, room = _cut(room, (wide // PANEL, columns, PANEL))
    d_keys, room = _cut(room, (columns, wide))
    d_values, room = _cut(room, (columns, wide))
    queries, room = _cut(room, (BLOCK, size))
    d_mixed, room = _cut(room, (BLOCK, size))
    queries_across, room = _cut(room, (wide // PANEL, BLOCK, PANEL))
    d_mixed_across, room = _cut(room, (wide // PANEL, BLOCK, PANEL))
    d_queries, room = _cut(room, (BLOCK, wide))
    scores, room = _cut(room, (BLOCK, columns))
    d_scores, room = _cut(room, (BLOCK, columns))
    line, _ = _cut(room, (wide,))
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
        for j in range(len(path)):
            at = path[j]
            _turned(qkv[at, key_first : key_first + size], cos[at], sin[at], line)
            _down(line, j, own.keys_down)
            _across(line, j, own.keys_across)
            _read(qkv[at, value_first : value_first + size], line)
            _down(line, j, own.values_down)
            clear(own.d_keys[j])
            clear(own.d_values[j])
        for head in range(kv * group, (kv + 1) * group):
            columns = slice(head * size, (head + 1) * size)
            for begin in range(shared[row], len(path), BLOCK):
                end = min(begin + BLOCK, len(path))
                count, pages = end - begin, (end + PANEL - 1) // PANEL
                for i in range(count):
                    at = path[begin + i]
                    _turned(qkv[at, columns], cos[at], sin[at], own.queries[i])
                    _across(own.queries[i], i, own.queries_across)
                    _read(d_out[at, columns], own.d_mixed[i])
                    _across(own.d_mixed[i], i, own.d_mixed_across)
                _product(own.queries, own.keys_down, pages, size, own.scores, count)
                _product(own.d_mixed, own.values_down, pages, size, own.d_scores, count)
                for i in range(count):
                    at, last = path[begin + i], begin + i + 1
                    low = max(0, last - window)
                    _read(out[at, columns], line)
                    delta = _dot(line, own.d_mixed[i])
                    p, d_p = own.scores[i], own.d_scores[i]
                    _weights_again(p[low:last], scaling, logsums[head, at])
                    _through_softmax(p[low:last], d_p[low:last], delta, scaling)
                    clear(p[:low])
                    clear(d_p[:low])
                    clear(p[last:end])
                    clear(d_p[last:end])
                _product(own.d_scores, own.keys_across, panels, end, own.d_queries, count)
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
