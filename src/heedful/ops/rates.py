"""How fast this machine multiplies matrices, in each precision."""

from __future__ import annotations

import time

import torch


def matrix_rate(seconds: float = 0.2) -> dict[str, float]:
    """Measured rates of matrix products in operations per second, by precision.

    The size doubles until a product takes its share of the time: a processor without bfloat16 instructions can be a
    hundred times slower in it than in float32.
    """
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        size, taken = 64, 0.0
        while taken < seconds / 10 and size < 2048:
            size *= 2
            a, b = (torch.ones(size, size, dtype=dtype) for _ in range(2))
            torch.mm(a[:32], b)  # the first call of a kind sets kernels up
            begun = time.perf_counter()
            torch.mm(a, b)
            taken = time.perf_counter() - begun
        rates[str(dtype).removeprefix("torch.")] = 2 * size**3 / taken
    return rates


def faster_precision() -> str:
    """`bfloat16` where its products run clearly faster than float32's on this machine, else `float32`."""
    rates = matrix_rate()
    return "bfloat16" if rates["bfloat16"] > 1.5 * rates["float32"] else "float32"
