"""Small functions that loops of compiled code call: exponentials, maxima, numbers in either kind as they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from heedful.ops.compiled.jit import Floats, kernel
from heedful.ops.compiled.tiles import stored

ZERO, ONE = np.float32(0), np.float32(1)
# eˣ = 2ⁿ eʳ with n = round(x / ln 2), |r| ≤ ln 2 / 2, and eʳ = 1 + r + r² P(r); ln 2 in two parts. Cephes, expf.
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
P5, P4, P3 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P2, P1, P0 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
ROUND = np.float32(1.5 * 2**23)  # added to a small number, its lowest bits are the number rounded
LOWEST, HIGHEST = np.float32(-87.0), np.float32(88.0)


@kernel()
def clear(x: Floats) -> None:
    for i in range(len(x)):
        x[i] = ZERO


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(_: Any, rounded: Any) -> Any:
    """2ⁿ from n + 1.5 · 2²³."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(32))
        exponent = builder.shl(bits, ir.Constant(bits.type, 23))
        return builder.bitcast(builder.add(exponent, ir.Constant(bits.type, 127 << 23)), ir.FloatType())

    return types.float32(rounded), generate


@kernel("contract")
def exp(x: np.float32) -> Any:
    """eˣ to 2 units in the last place, 0 below e⁻⁸⁷, without a branch: loops over it become vectors. NaN stays NaN."""
    bound = HIGHEST if x > HIGHEST else x
    rounded = bound * LOG2_E + ROUND
    n = rounded - ROUND
    r = bound - n * LN2_HIGH - n * LN2_LOW
    p = ((((P5 * r + P4) * r + P3) * r + P2) * r + P1) * r + P0
    result = (p * (r * r) + r + ONE) * _power_of_two(rounded)
    return ZERO if x < LOWEST else result


@kernel("nnan", "nsz", "reassoc")
def largest(x: Floats) -> Any:
    """Anything, where there are NaN: then the exponentials are NaN as well."""
    best = x[0]
    for i in range(1, len(x)):
        best = max(best, x[i])
    return best


@intrinsic  # type: ignore[untyped-decorator]
def widened(_: Any, number: Any) -> Any:
    """float32 of a float32, or of bfloat16's bits."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        if signature.args[0] == types.float32:
            return args[0]
        bits = builder.shl(builder.zext(args[0], ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(number), generate


@kernel("nnan", "nsz", "reassoc")
def largest_of(x: Any) -> Any:
    """The same of numbers in either kind, in float32."""
    best = widened(x[0])
    for i in range(1, len(x)):
        best = max(best, widened(x[i]))
    return best


@kernel()
def write(given: Floats, out: Any) -> None:
    """Into an array of either kind, as long as `out`."""
    for i in range(len(out)):
        out[i] = stored(out.dtype, given[i])
