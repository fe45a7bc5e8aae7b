"""Keys and values of the rows being decoded, in panels: what a query is multiplied by lies as it is read."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from heedful.sampling.cache import must_fit
from heedful.sampling.compiled.jit import Integers
from heedful.sampling.compiled.step import Model, States
from heedful.sampling.compiled.tiles import BYTES, PANEL


def whole(size: int) -> int:
    """Up to whole panels."""
    return -(-size // PANEL) * PANEL


def empty_states(model: Model, slots: int, columns: int) -> States:
    """Room for the keys and values of so many rows and tokens. InputError: that is more memory than is free."""
    layers, size = len(model.windows), 2 * model.angles.shape[1]
    keys = (layers, slots, model.kv_heads, whole(columns) // PANEL, size, PANEL)
    values = (layers, slots, model.kv_heads, whole(size) // PANEL, columns, PANEL)
    must_fit((prod(keys) + prod(values)) * BYTES, slots, columns, torch.device("cpu"))
    return States(np.zeros(keys, np.float32), np.zeros(values, np.float32))


def copy_rows(states: States, origins: Integers, targets: Integers, columns: int) -> None:
    """Slots get what others hold in their first columns. origins, targets (n,)"""
    pages = whole(columns) // PANEL
    states.keys[:, targets, :, :pages] = states.keys[:, origins, :, :pages]
    states.values[:, targets, :, :, :columns] = states.values[:, origins, :, :, :columns]
