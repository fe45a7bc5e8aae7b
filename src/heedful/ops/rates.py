"""How fast this machine multiplies matrices, in each precision."""

from __future__ import annotations

import time

import torch

ENOUGH = 0.01  # seconds of a product that tell its rate  # mutants: equivalent
CPU = torch.device("cpu")
LARGEST = {"cpu": 2048, "cuda": 8192}  # rows of the largest product


def training_device() -> torch.device:
    """Where stages train: on the card where there is one, else on the processor."""
    return torch.device("cuda") if torch.cuda.is_available() else CPU


def matrix_rate(device: torch.device = CPU, seconds: float = 0.1) -> dict[str, float]:  # mutants: equivalent
    """Measured rates of matrix products in operations per second, by precision.

    The size doubles until a product takes long enough to tell: a processor without bfloat16 instructions can be a
    hundred times slower in it than in float32. Of the products of each size, done again and again for `seconds`, the
    quickest counts. On a processor one thread's rate is taken times their number: on a busy machine threads wait for
    each other.
    """
    if device.type != "cpu":
        return _rates(device, seconds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: rate * threads for name, rate in _rates(device, seconds).items()}
    finally:
        torch.set_num_threads(threads)


def _rates(device: torch.device, seconds: float) -> dict[str, float]:
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        size, taken = 64, 0.0
        while taken < ENOUGH and size < LARGEST[device.type]:
            size *= 2
            a, b = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
            taken = _quickest(a, b, seconds)
        rates[str(dtype).removeprefix("torch.")] = 2 * size**3 / taken
    return rates


def _quickest(a: torch.Tensor, b: torch.Tensor, seconds: float) -> float:
    torch.mm(a[:32], b)  # the first call of a kind sets kernels up  # mutants: equivalent
    _finish(a.device)
    quickest, end = float("inf"), time.perf_counter() + seconds
    while quickest == float("inf") or time.perf_counter() < end:
        begun = time.perf_counter()
        torch.mm(a, b)
        _finish(a.device)
        quickest = min(quickest, time.perf_counter() - begun)
    return quickest


def _finish(device: torch.device) -> None:
    """A card computes while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def faster_precision(device: torch.device) -> str:
    """`bfloat16` on a card that has it, and on a processor where its products run clearly faster than float32's; else
    `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    rates = matrix_rate(device)
    return "bfloat16" if rates["bfloat16"] > 1.5 * rates["float32"] else "float32"
