"""Matrix products for few rows: weights lie in panels of 16 columns, and a tile of up to 6 rows stays in registers.

A panel (I, 16) is read from end to end while each row's 16 sums stand in two vectors of 8. Every sum adds its products
in the same order, whatever the tile, so a row's result does not depend on the rows beside it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from heedful.sampling.compiled.jit import Floats, kernel

PANEL = 16  # columns
BYTES = 4  # of a float32
VECTOR = ir.VectorType(ir.FloatType(), 8)
HALVES = (0, 8 * BYTES)  # where a panel's line has its vectors


def _at(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """A pointer to what lies so many bytes behind the address."""
    offset = ir.Constant(address.type, offset) if isinstance(offset, int) else offset
    return builder.inttoptr(builder.add(address, offset), kind.as_pointer())


def _spread(builder: Any, number: Any) -> Any:
    """One number in all of a vector's places."""
    first = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR.count), [0] * VECTOR.count)
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, first.type.element(0))
    return builder.shuffle_vector(one, one, first)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _tile(_: Any, rows: Any, x: Any, x_step: Any, panel: Any, depth: Any, out: Any, out_step: Any) -> Any:
    """out[r, :16] += Σ_k x[r, k] · panel[k, :16] for r < rows, a literal. Addresses and steps in bytes."""
    count = rows.literal_value

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, x, x_step, panel, depth, out, out_step = args

        def times(number: Any, factor: int) -> Any:
            return builder.mul(number, ir.Constant(number.type, factor))

        lines = [builder.add(out, times(out_step, row)) for row in range(count)]
        places = [[_at(builder, line, half, VECTOR) for half in HALVES] for line in lines]
        sums = [[cgutils.alloca_once_value(builder, builder.load(p, align=BYTES)) for p in row] for row in places]
        with cgutils.for_range(builder, depth) as loop:
            line = builder.add(panel, times(loop.index, PANEL * BYTES))
            weights = [builder.load(_at(builder, line, half, VECTOR), align=BYTES) for half in HALVES]
            column = builder.add(x, times(loop.index, BYTES))
            for row in range(count):
                entry = builder.load(_at(builder, column, times(x_step, row), ir.FloatType()), align=BYTES)
                entry = _spread(builder, entry)
                for total, weight in zip(sums[row], weights, strict=True):
                    product = builder.fmul(entry, weight, flags=("contract",))
                    builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)
        for row in range(count):
            for place, total in zip(places[row], sums[row], strict=True):
                builder.store(builder.load(total), place, align=BYTES)

    return types.void(rows, *[types.intp] * 6), generate


@kernel()
def add_tiles(
    rows: int, x: int, x_step: int, panels: int, panel_step: int, count: int, depth: int, out: int, out_step: int
) -> None:
    """out += x W for `count` panels of `depth` lines. Addresses, and steps between rows or panels, in bytes."""
    for index in range(count):
        panel, x_row, out_row, left = panels + index * panel_step, x, out + index * PANEL * BYTES, rows
        while left >= 6:
            _tile(6, x_row, x_step, panel, depth, out_row, out_step)
            x_row, out_row, left = x_row + 6 * x_step, out_row + 6 * out_step, left - 6
        if left >= 4:
            _tile(4, x_row, x_step, panel, depth, out_row, out_step)
            x_row, out_row, left = x_row + 4 * x_step, out_row + 4 * out_step, left - 4
        if left >= 2:
            _tile(2, x_row, x_step, panel, depth, out_row, out_step)
            x_row, out_row, left = x_row + 2 * x_step, out_row + 2 * out_step, left - 2
        if left:
            _tile(1, x_row, x_step, panel, depth, out_row, out_step)


@kernel()
def add_product(x: Floats, panels: Floats, out: Floats, rows: int) -> None:
    """out += x W for the first rows. x (n, I or more), panels (O / 16, I, 16), out (n, O or more)"""
    count, depth = panels.shape[0], panels.shape[1]
    step = panels.strides[0]
    add_tiles(
        rows, x.ctypes.data, x.strides[0], panels.ctypes.data, step, count, depth, out.ctypes.data, out.strides[0]
    )
