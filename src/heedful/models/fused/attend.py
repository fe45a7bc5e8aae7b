"""Attention of packed sequences, from the product that gives q, k and v; its gradient is `attend_back`.

A sequence's keys and values are laid in panels once; its queries then come in blocks, a product of `tiles` each. What
lies behind a block's last query is not looked at. (Dao 2022, algorithms 2 and 4, with rows whole.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.ops.compiled.jit import SUMS, Floats, Integers, kernel
from heedful.ops.compiled.maths import clear, exp, largest, widened, write
from heedful.ops.compiled.threads import BEGUN, FIRST, PARTS, TAKEN, array_at, counted, outer
from heedful.ops.compiled.tiles import BYTES, PANEL, add_tiles, whole

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


@kernel("contract")
def turned(given: Any, cos: Floats, sin: Floats, out: Floats) -> None:
    """Rotary positions: the halves (a, b) of a head become (a cos − b sin, b cos + a sin)."""
    half = len(cos)
    for d in range(half):
        a, b = widened(given[d]), widened(given[d + half])
        out[d] = a * cos[d] - b * sin[d]
        out[d + half] = b * cos[d] + a * sin[d]


@kernel()
def read(given: Any, out: Floats) -> None:
    for d in range(len(given)):
        out[d] = widened(given[d])


@kernel()
def down(row: Floats, at: int, panels: Floats) -> None:
    """Put a row as column `at` of panels (n / PANEL, D, PANEL)."""
    page, place = at // PANEL, at % PANEL
    for d in range(len(row)):
        panels[page, d, place] = row[d]


@kernel()
def across(row: Floats, at: int, panels: Floats) -> None:
    """Put a row as line `at` of panels (W / PANEL, n, PANEL)."""
    for first in range(0, len(row), PANEL):
        for d in range(first, min(first + PANEL, len(row))):
            panels[first // PANEL, at, d - first] = row[d]


@kernel()
def product(x: Floats, panels: Floats, count: int, depth: int, out: Floats, rows: int) -> None:
    """out = x W for the first rows, `count` panels and `depth` of x's columns."""
    for r in range(rows):
        clear(out[r, : count * PANEL])
    add_tiles(
        panels.dtype, rows, x.ctypes.data, x.strides[0], panels.ctypes.data, panels.strides[0], count, depth,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip


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
def cut(room: int, shape: Any) -> Any:
    """An array of float32 at an address, and the address behind it."""
    array = array_at(room, shape, np.float32)
    return array, room + array.size * BYTES


@outer
def asked_of(numbers: Any, kind: Any) -> Any:
    tokens, rows, size = numbers[TOKENS], numbers[SEQUENCES], numbers[SIZE]
    heads, kv_heads = numbers[HEADS], numbers[KV_HEADS]
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
    shape, asked = asked_of(numbers, kind)
    room = numbers[SCRATCH] + counted(numbers, BEGUN) * numbers[SCRATCH_BYTES]
    size = numbers[SIZE]
    wide, columns = whole(size), whole(numbers[LONGEST])
    keys, room = cut(room, (columns // PANEL, size, PANEL))
    values, room = cut(room, (wide // PANEL, columns, PANEL))
    queries, room = cut(room, (BLOCK, size))
    scores, room = cut(room, (BLOCK, columns))
    mixed, room = cut(room, (BLOCK, wide))
    own = Room(keys, values, queries, scores, mixed, cut(room, (wide,))[0])
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
            turned(qkv[at, first : first + size], cos[at], sin[at], line[:size])
            down(line[:size], j, keys)
            first += kv_heads * size
            read(qkv[at, first : first + size], line[:size])
            across(line[:size], j, values)
        for head in range(kv * group, (kv + 1) * group):
            columns = slice(head * size, (head + 1) * size)
            for begin in range(shared[row], len(path), BLOCK):
                end = min(begin + BLOCK, len(path))
                for i in range(begin, end):
                    at = path[i]
                    turned(qkv[at, columns], cos[at], sin[at], queries[i - begin])
                product(queries, keys, (end + PANEL - 1) // PANEL, size, scores, end - begin)
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
                product(scores, values, values.shape[0], end, mixed, end - begin)
                for i in range(begin, end):
                    write(mixed[i - begin], out[path[i], columns])
