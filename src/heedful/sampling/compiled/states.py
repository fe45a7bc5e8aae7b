"""Keys and values of the rows being decoded, in panels: what a query is multiplied by lies as it is read."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np
import torch

from heedful.ops.compiled.jit import Integers, Panels
from heedful.ops.compiled.tiles import BYTES, PANEL, whole
from heedful.sampling.cache import must_fit
from heedful.sampling.compiled.step import Model, States

CACHE_LINE = 64  # bytes


def pairs_of(panels: Panels) -> int:
    """How many numbers each place of a line holds: 1 in float32, 2 in bfloat16."""
    return BYTES // panels.itemsize


def aligned(shape: tuple[int, ...], dtype: Any) -> Panels:
    """Zeros from the beginning of a cache line on. NumPy asks for huge pages where they are many."""
    count, size = prod(shape), np.dtype(dtype).itemsize
    held = np.zeros(count + CACHE_LINE // size, dtype)
    begin = -held.ctypes.data % CACHE_LINE // size
    return cast(Panels, held[begin : begin + count].reshape(shape))


def empty_states(model: Model, slots: int, columns: int) -> States:
    """Room for the keys and values of so many rows and tokens. ResourceError: that is more memory than is free."""
    layers, size, pair, dtype = len(model.windows), 2 * model.angles.shape[1], pairs_of(model.qkv), model.qkv.dtype
    keys = (layers, slots, model.kv_heads, whole(columns) // PANEL, size // pair, PANEL, pair)
    values = (layers, slots, model.kv_heads, whole(size) // PANEL, -(-columns // pair), PANEL, pair)
    must_fit((prod(keys) + prod(values)) * dtype.itemsize, slots, columns, torch.device("cpu"))
    return States(aligned(keys, dtype), aligned(values, dtype))


def copy_rows(states: States, origins: Integers, targets: Integers, columns: int) -> None:
    """Slots get what others hold in their first columns. origins, targets (n,)"""
    pages, lines = whole(columns) // PANEL, -(-columns // states.values.shape[-1])
    states.keys[:, targets, :, :pages] = states.keys[:, origins, :, :pages]
    states.values[:, targets, :, :, :lines] = states.values[:, origins, :, :, :lines]
