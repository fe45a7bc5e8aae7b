"""The machine's own limit: the fastest matrix product in a precision, as training tokens a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.material import parameters
from benchmarks.worker import Task

SIZES = (1024, 2048)
SECONDS = 0.5  # of each size and library


def task(settings: dict[str, Any]) -> Task:
    """Settings: size (whose tokens are counted), precision. The work is the tokens that 6·N operations each allow."""
    dtype = getattr(torch, settings["precision"])
    operations = 6 * parameters(settings["size"])

    def repeat(number: int) -> Mapping[str, Any]:
        rate = best_rate(dtype)
        return {"work": rate / operations, "seconds": 1.0, "gflops": rate / 1e9}

    return Task(repeat, {"torch": torch.__version__})


def best_rate(dtype: torch.dtype) -> float:
    """Operations a second of the fastest product, through torch's default library and through oneDNN."""
    return max(_rate(size, dtype, multiply) for size in SIZES for multiply in (torch.mm, _onednn))


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


def _rate(size: int, dtype: torch.dtype, multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    try:
        multiply(a, b)
    except RuntimeError:  # this build has no such kernel
        return 0.0
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        multiply(a, b)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best
