"""Where training runs: one process, or as many as torchrun started; and in which arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from heedful.config import Training
from heedful.ops.reductions import Reduce


def make_accelerator(training: Training) -> Accelerator:
    """Weights and gradients stay float32; `bfloat16` is `accelerator.autocast()` around forward passes."""
    return StageAccelerator(training)


def reducer(accelerator: Accelerator) -> Reduce:
    """Sums of a tensor over all processes, on the CPU."""

    def reduce(value: Tensor) -> Tensor:
        reduced: Tensor = accelerator.reduce(value.to(accelerator.device), "sum")
        return reduced.cpu()

    return reduce


class StageAccelerator(Accelerator):
    """accelerate fixes one precision for the whole process; here each stage has its own."""

    def __init__(self, training: Training) -> None:
        super().__init__(
            cpu=not torch.cuda.is_available(),
            mixed_precision="no",
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.half = training.precision == "bfloat16"

    @contextmanager
    def autocast(self, autocast_handler: Any = None) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            yield
