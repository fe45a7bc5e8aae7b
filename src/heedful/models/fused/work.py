"""All that is compiled, behind one function for each kind of number: once a machine, in 15 to 20 s."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from heedful.models.fused.attend import attend
from heedful.models.fused.attend_back import attend_back
from heedful.models.fused.between import gate, gate_back, norm, norm_back
from heedful.ops.compiled.jit import version
from heedful.ops.compiled.threads import KIND, keep, outer, run

NORM, NORM_BACK, GATE, GATE_BACK, ATTEND, ATTEND_BACK = range(6)


@outer
def _do(numbers: Any, kind: Any) -> None:
    if numbers[KIND] == NORM:
        norm(numbers, kind)
    elif numbers[KIND] == NORM_BACK:
        norm_back(numbers, kind)
    elif numbers[KIND] == GATE:
        gate(numbers, kind)
    elif numbers[KIND] == GATE_BACK:
        gate_back(numbers, kind)
    elif numbers[KIND] == ATTEND:
        attend(numbers, kind)
    elif numbers[KIND] == ATTEND_BACK:
        attend_back(numbers, kind)


def _entries(sources: int) -> dict[torch.dtype, Any]:
    """What threads call. The number of the sources stands in it, so that what was kept of others is not taken."""

    def full(numbers: Any) -> None:
        _ = sources
        _do(numbers, np.float32)

    def half(numbers: Any) -> None:
        _ = sources
        _do(numbers, np.uint16)

    return {torch.float32: full, torch.bfloat16: half}


@cache
def _compiled(dtype: torch.dtype) -> Any:
    return keep(_entries(version(__file__))[dtype])


def work(kind: int, dtype: torch.dtype, parts: int, *numbers: int) -> None:
    """Have all parts of one kind of work done. `numbers`: what its function names, addresses of tensors among them."""
    run(_compiled(dtype), kind, parts, *numbers)
