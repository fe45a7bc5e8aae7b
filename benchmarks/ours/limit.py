"""The machine's own limit: the fastest matrix product in a precision, as training tokens a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.material import parameters
from benchmarks.worker import Task

SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
SECONDS = 0.5  # of each size and library


def task(settings: dict[str, Any]) -> Task:
    """Settings: size (whose tokens are counted), precision, device, `lora` where adapters learn alone.

    The work is the tokens that 6·N operations each allow; with adapters 4·N, which leaves out their own, a hundredth.
    """
    dtype, device = getattr(torch, settings["precision"]), settings.get("device", "cpu")
    operations = (4 if settings.get("lora") else 6) * parameters(settings["size"])

    def repeat(number: int) -> Mapping[str, Any]:
        rate = best_rate(dtype, device)
        return {"work": rate / operations, "seconds": 1.0, "gflops": rate / 1e9}

    return Task(repeat, {"torch": torch.__version__})


def best_rate(dtype: torch.dtype, device: str) -> float:
    """Operations a second of the fastest product, through torch's default library and, on a processor, oneDNN."""
    libraries = (torch.mm,) if device == "cuda" else (torch.mm, _onednn)
    return max(_rate(size, dtype, device, multiply) for size in SIZES[device] for multiply in libraries)


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


def _rate(size: int, dtype: torch.dtype, device: str, multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    try:
        multiply(a, b)
    except RuntimeError:  # this build has no such kernel
        return 0.0
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None  # a card computes while Python goes on
    finish()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        multiply(a, b)
        finish()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best
