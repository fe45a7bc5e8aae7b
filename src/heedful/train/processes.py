"""Where training runs: one process, or as many as torchrun started; and in which arithmetic."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from heedful.config import Training
from heedful.ops.footprint import RETAINED
from heedful.ops.rates import training_device
from heedful.train.sharding import Shares

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


def make_accelerator(training: Training) -> Accelerator:
    """Weights and gradients stay float32; `bfloat16` is `accelerator.autocast()` around forward passes."""
    keep_freed_memory()
    return StageAccelerator(training)


def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GB of what is freed, in tensors of up to 64 MB, instead of giving it back to the kernel.

    Every step makes tensors of the same sizes, and memory that comes anew from the kernel is cleared page by page
    first: 7 % of a small model's step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 26)
        mallopt(M_TRIM_THRESHOLD, RETAINED)


def in_parallel(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The model as each of several processes calls it to learn: gradients become their mean over all."""
    model = model.to(accelerator.device)
    if not accelerator.use_distributed:
        return model
    device = [accelerator.device.index] if accelerator.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=device, forward_sync_buffers=False)  # nothing changes buffers


def whole(accelerator: Accelerator) -> AbstractContextManager[None]:
    """Inside, the model that is trained can be read, also where its weights are in shares. All processes must enter."""
    shares = accelerator.shares if isinstance(accelerator, StageAccelerator) else None
    return shares.whole() if shares else nullcontext()


class StageAccelerator(Accelerator):
    """accelerate fixes one precision for the whole process; here each stage has its own."""

    shares: Shares | None = None  # while weights are trained in shares

    def __init__(self, training: Training) -> None:
        super().__init__(cpu=training_device().type == "cpu", mixed_precision="no")
        self.half = training.precision == "bfloat16"

    @contextmanager
    def autocast(self, autocast_handler: Any = None) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            yield
