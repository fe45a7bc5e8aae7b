"""What two next-token distributions say, from rows of logits that are read once: for processors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.ops.compiled.jit import SUMS, Floats, Integers, kernel, version
from heedful.ops.compiled.maths import exp, largest_of, widened
from heedful.ops.compiled.threads import FIRST, PARTS, TAKEN, array_at, counted, keep, outer, run

KINDS = (torch.float32, torch.bfloat16)
ROWS = 16  # between two looks for more work


@kernel(*SUMS)
def _read(p: Any, q: Any, token: int, sharpness: np.float32, out: Floats) -> None:
    """With u = (x − max x) / T of p's logits, v of q's, Z = Σ eᵘ and Z' = Σ eᵛ: log p_t = u_t − log Z,
    H(p) = log Z − Σ eᵘ u / Z, log q_t likewise, KL(p ‖ q) = Σ eᵘ (u − v) / Z − log Z + log Z'. p, q (V,), out (4,)
    """
    most_p, most_q = largest_of(p), largest_of(q)
    z_p, z_q, along_p, along_q = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(len(p)):
        u, v = sharpness * (widened(p[i]) - most_p), sharpness * (widened(q[i]) - most_q)
        mass = exp(u)
        z_p += mass
        z_q += exp(v)
        along_p += mass * u
        along_q += mass * v
    log_p, log_q = np.log(z_p), np.log(z_q)
    out[0] = sharpness * (widened(p[token]) - most_p) - log_p
    out[1] = log_p - along_p / z_p
    out[2] = sharpness * (widened(q[token]) - most_q) - log_q
    out[3] = (along_p - along_q) / z_p - log_p + log_q


@kernel()
def _read_rows(first: int, end: int, p: Any, q: Any, tokens: Integers, sharpness: np.float32, out: Floats) -> None:
    for row in range(first, end):
        _read(p[row], q[row], tokens[row], sharpness, out[row])


@outer
def _do(numbers: Any, kind: Any) -> None:
    """rows, V, logits of p and of q, tokens, 1 / T, out"""
    rows, vocabulary = numbers[FIRST], numbers[FIRST + 1]
    p = array_at(numbers[FIRST + 2], (rows, vocabulary), kind)
    q = array_at(numbers[FIRST + 3], (rows, vocabulary), kind)
    tokens = array_at(numbers[FIRST + 4], (rows,), np.int64)
    sharpness = array_at(numbers[FIRST + 5], (1,), np.float32)[0]
    out = array_at(numbers[FIRST + 6], (rows, 4), np.float32)
    while True:
        part = counted(numbers, TAKEN)
        if part >= numbers[PARTS]:
            return
        first, end = part * rows // numbers[PARTS], (part + 1) * rows // numbers[PARTS]
        _read_rows(first, end, p, q, tokens, sharpness, out)


def _entries(sources: int) -> dict[torch.dtype, Any]:
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


def can_read(p: Tensor, q: Tensor) -> bool:
    """Logits (n, V) of either model, of one vocabulary."""
    alike = p.shape == q.shape and p.dtype == q.dtype and p.device == q.device
    return alike and p.device.type == "cpu" and p.dtype in KINDS


def divergence_of_rows(p: Tensor, q: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """log p_t, H(p), log q_t and KL(p ‖ q) of each row of logits. (n, V), (n, V), (n,) int64 -> (n, 4)

    IndexError: a token that no column stands for.
    """
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < p.shape[1]:
        raise IndexError(f"a target is token {int(tokens.max())}, and the logits have {p.shape[1]} columns")
    p, q, tokens = p.contiguous(), q.contiguous(), tokens.contiguous()
    out, sharpness = torch.empty(len(p), 4, dtype=torch.float32), torch.tensor([1 / temperature], dtype=torch.float32)
    where = [tensor.data_ptr() for tensor in (p, q, tokens, sharpness, out)]
    run(_compiled(p.dtype), 0, -(-len(p) // ROWS), *p.shape, *where)
    return out
