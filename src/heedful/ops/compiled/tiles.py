"""Matrix products for few rows: weights lie in panels of two vectors, and a tile of sums stays in registers.

A panel is read line by line, each line's columns against one entry of each row. In float32 a line belongs to one input;
in bfloat16 to a pair of neighbouring ones, whose two products are added in float32 (AVX512_BF16). Either has 4 bytes a
column. Every sum adds its products in the same order, whatever the tile, so a row's result does not depend on the rows
beside it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, register_jitable

from heedful.ops.compiled.jit import Floats, Pairs, Panels, kernel

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")  # of the processor that is compiled for
LANES = 16 if "+avx512f" in FEATURES else 8  # floats in a vector
PANEL = 2 * LANES  # columns
MOST, MANY, FEW = (12, 8, 4) if LANES == 16 else (6, 4, 2)  # rows of a tile: what the registers hold, and fewer
TOGETHER = 4  # panels that a row by itself is multiplied by: with one it would wait for its own sums
AHEAD = 16384  # bytes of weights asked for before their turn; with few rows the memory is busy enough
BYTES = 4  # of a float32, and of a pair of bfloat16
HAS_PAIRS = "+avx512bf16" in FEATURES
VECTOR = ir.VectorType(ir.FloatType(), LANES)
HALVES = (0, LANES * BYTES)  # where a panel's line has its vectors


@register_jitable  # type: ignore[untyped-decorator]
def whole(size: int) -> int:
    """Up to whole panels."""
    return (size + PANEL - 1) // PANEL * PANEL


def _at(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """A pointer to what lies so many bytes behind the address."""
    offset = ir.Constant(address.type, offset) if isinstance(offset, int) else offset
    return builder.inttoptr(builder.add(address, offset), kind.as_pointer())


def _spread(builder: Any, number: Any) -> Any:
    """One number in all of a vector's places."""
    first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, first.type.element(0))
    return builder.shuffle_vector(one, one, first)


def _added(builder: Any, in_pairs: bool, total: Any, entry: Any, weight: Any) -> Any:
    """total + entry · weight, for each place"""
    if not in_pairs:
        return builder.fadd(builder.fmul(entry, weight, flags=("contract",)), total, flags=("contract",))
    bits = ir.VectorType(ir.IntType(32), LANES)  # LLVM takes its own bfloat16 for these
    dot = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, (VECTOR, bits, bits)), "llvm.x86.avx512bf16.dpbf16ps.512"
    )
    return builder.call(dot, (total, builder.bitcast(entry, bits), builder.bitcast(weight, bits)))


def _fetch(builder: Any, place: Any) -> None:
    """Bring what lies there to the second cache."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), (place.type, number, number, number))
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(fetch, (place, number(0), number(2), number(1)))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _tile(
    _: Any, kind: Any, rows: Any, panels: Any, x: Any, x_step: Any, x_next: Any, panel: Any, panel_step: Any,
    depth: Any, out: Any, out_step: Any,
) -> Any:  # fmt: skip
    """out[r] += Σ_k x[r, k] · panel[k] for r < rows and a few neighbouring panels, both literals.

    kind: the panels' dtype. Addresses and steps in bytes, depth in lines.
    """
    in_pairs, count, width = kind.dtype != types.float32, rows.literal_value, panels.literal_value

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, _, x, x_step, x_next, panel, panel_step, depth, out, out_step = args

        def times(number: Any, factor: int) -> Any:
            return builder.mul(number, ir.Constant(number.type, factor))

        parts = [index * PANEL * BYTES + half for index in range(width) for half in HALVES]
        lines = [builder.add(out, times(out_step, row)) for row in range(count)]
        places = [[_at(builder, line, part, VECTOR) for part in parts] for line in lines]
        sums = [[cgutils.alloca_once_value(builder, builder.load(p, align=BYTES)) for p in row] for row in places]
        heads = [builder.add(panel, times(panel_step, index)) for index in range(width)]
        with cgutils.for_range(builder, depth) as loop:
            at = times(loop.index, PANEL * BYTES)
            weights = [
                builder.load(_at(builder, builder.add(head, at), half, VECTOR), align=BYTES)
                for head in heads
                for half in HALVES
            ]
            if count > FEW:
                for half in HALVES:
                    _fetch(builder, _at(builder, builder.add(heads[0], at), AHEAD + half, ir.IntType(8)))
            column = builder.add(x, builder.mul(loop.index, x_next))
            for row in range(count):
                entry = builder.load(_at(builder, column, times(x_step, row), ir.FloatType()), align=BYTES)
                entry = _spread(builder, entry)
                for total, weight in zip(sums[row], weights, strict=True):
                    builder.store(_added(builder, in_pairs, builder.load(total), entry, weight), total)
        for row in range(count):
            for place, total in zip(places[row], sums[row], strict=True):
                builder.store(builder.load(total), place, align=BYTES)

    return types.void(kind, rows, panels, *[types.intp] * 8), generate


class _BFloat16(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite has no name for."""

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


@intrinsic  # type: ignore[untyped-decorator]
def stored(_: Any, kind: Any, number: Any) -> Any:
    """A float32 as arrays of this dtype hold it: as it is, or the bits of the nearest bfloat16."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        if signature.return_type == types.float32:
            return args[1]
        if not HAS_PAIRS:  # nothing is ever held so here, and nothing here could round it
            return ir.Constant(ir.IntType(16), 0)
        return builder.bitcast(builder.fptrunc(args[1], _BFloat16()), ir.IntType(16))

    return (types.float32 if kind.dtype == types.float32 else types.uint16)(kind, number), generate


@kernel()
def pair_up(x: Floats, pairs: Pairs) -> None:
    """Round to bfloat16. x (n,), pairs (n or more,)"""
    for i in range(len(x)):
        pairs[i] = stored(pairs.dtype, x[i])


@kernel()
def _all_rows(
    kind: Any, rows: int, x: int, x_step: int, x_next: int, panel: int, depth: int, out: int, out_step: int
) -> int:  # fmt: skip
    """One panel. Returns how many rows are left over, fewer than `FEW`."""
    while rows >= MOST:
        _tile(kind, MOST, 1, x, x_step, x_next, panel, 0, depth, out, out_step)
        x, out, rows = x + MOST * x_step, out + MOST * out_step, rows - MOST
    if rows >= MANY:
        _tile(kind, MANY, 1, x, x_step, x_next, panel, 0, depth, out, out_step)
        x, out, rows = x + MANY * x_step, out + MANY * out_step, rows - MANY
    if rows >= FEW:
        _tile(kind, FEW, 1, x, x_step, x_next, panel, 0, depth, out, out_step)
        rows -= FEW
    return rows


@kernel()
def _few_rows(
    kind: Any, rows: int, x: int, x_step: int, x_next: int, panel: int, panel_step: int, count: int, depth: int,
    out: int, out_step: int,
) -> None:  # fmt: skip
    """Fewer rows than `FEW`, up to `TOGETHER` panels."""
    while rows >= 2:
        for index in range(0, count - 1, 2):
            here, there = panel + index * panel_step, out + index * PANEL * BYTES
            _tile(kind, 2, 2, x, x_step, x_next, here, panel_step, depth, there, out_step)
        if count % 2:
            here, there = panel + (count - 1) * panel_step, out + (count - 1) * PANEL * BYTES
            _tile(kind, 2, 1, x, x_step, x_next, here, 0, depth, there, out_step)
        x, out, rows = x + 2 * x_step, out + 2 * out_step, rows - 2
    if rows and count == TOGETHER:
        _tile(kind, 1, TOGETHER, x, 0, x_next, panel, panel_step, depth, out, 0)
        return
    if rows and count >= 2:
        _tile(kind, 1, 2, x, 0, x_next, panel, panel_step, depth, out, 0)
        panel, out, count = panel + 2 * panel_step, out + 2 * PANEL * BYTES, count - 2
    if rows and count:
        _tile(kind, 1, 1, x, 0, x_next, panel, 0, depth, out, 0)


@kernel()
def add_tiles(
    kind: Any, rows: int, x: int, x_step: int, panels: int, panel_step: int, count: int, depth: int, out: int,
    out_step: int,
) -> None:  # fmt: skip
    """out += x W for `count` panels of `depth` lines, of dtype `kind`. Addresses and steps between rows or panels, in
    bytes."""
    add_tiles_of(kind, rows, x, x_step, BYTES, panels, panel_step, count, depth, out, out_step)


@kernel()
def add_tiles_of(
    kind: Any, rows: int, x: int, x_step: int, x_next: int, panels: int, panel_step: int, count: int, depth: int,
    out: int, out_step: int,
) -> None:  # fmt: skip
    """The same, with so many bytes from one entry of a row to the next: a matrix that lies the other way round has few
    between its rows, and many between their entries."""
    for first in range(0, count, TOGETHER):
        here, there, together = panels + first * panel_step, out + first * PANEL * BYTES, min(TOGETHER, count - first)
        left = rows
        if rows >= FEW:
            for index in range(together):
                at, to = here + index * panel_step, there + index * PANEL * BYTES
                left = _all_rows(kind, rows, x, x_step, x_next, at, depth, to, out_step)
        done = rows - left
        at, to = x + done * x_step, there + done * out_step
        _few_rows(kind, left, at, x_step, x_next, here, panel_step, together, depth, to, out_step)


@kernel()
def add_product(x: Floats, panels: Panels, out: Floats, rows: int, pairs: Pairs) -> None:
    """out += x W for the first rows. x (n, I or more), panels (O / PANEL, I, PANEL, 1) or, in pairs, half as many lines
    of (PANEL, 2); out (n, O or more), pairs (n, I or more): x in bfloat16, which panels in pairs read."""
    count, depth, step = panels.shape[0], panels.shape[1], panels.strides[0]
    address, x_step = x.ctypes.data, x.strides[0]
    if panels.shape[3] == 2:
        address, x_step = pairs.ctypes.data, pairs.strides[0]
    add_tiles(
        panels.dtype, rows, address, x_step, panels.ctypes.data, step, count, depth, out.ctypes.data, out.strides[0]
    )
