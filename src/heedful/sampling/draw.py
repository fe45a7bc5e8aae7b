"""Drawing tokens by inverse CDF from uniform numbers that each sample's own seed gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.errors import DivergedError

BLOCK = 32  # neighbouring tokens whose probabilities are summed first


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """`count` numbers in [0, 1) for each seed. -> (samples, count) float32

    Philox counts from its key: number i depends on the seed and i alone, whatever `count` is.
    """
    rows = np.empty((len(seeds), count), dtype=np.float32)
    for row, seed in zip(rows, seeds, strict=True):
        row[:] = np.random.Generator(np.random.Philox(key=seed)).random(count)
    return torch.from_numpy(rows)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next token of each row, and its log-probability."""

    tokens: Tensor  # (n,) int64
    logprobs: Tensor  # (n,) float32


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> Drawn:
    """Sample softmax(logits / temperature). logits (n, V), uniform (n,) in [0, 1).

    Temperature 0 takes the most likely token and reports its log-probability at temperature 1. DivergedError: the
    logits are not numbers.
    """
    logits = logits.float() if temperature in (0.0, 1.0) else logits.float() / temperature
    probabilities = logits.softmax(-1)
    mass = _whole_blocks(probabilities).view(len(logits), -1, BLOCK)  # (n, V / BLOCK, BLOCK)
    blocks = mass.sum(-1)
    if not bool(blocks.sum().isfinite()):
        raise diverged()
    tokens = logits.argmax(-1) if temperature == 0 else _inverse_cdf(mass, blocks, uniform)
    return Drawn(tokens, probabilities.gather(-1, tokens[:, None]).squeeze(-1).log())


def diverged() -> DivergedError:
    return DivergedError(
        "the policy's probabilities are not finite: its weights have diverged; lower the learning rate"
    )


def _whole_blocks(probabilities: Tensor) -> Tensor:
    """Zeros behind the vocabulary's end, where it is no multiple of the block."""
    missing = -probabilities.shape[-1] % BLOCK
    return pad(probabilities, (0, missing)) if missing else probabilities


def _inverse_cdf(mass: Tensor, blocks: Tensor, uniform: Tensor) -> Tensor:
    """The first token whose cumulative mass exceeds uniform · total. mass (n, blocks, BLOCK) -> (n,)

    Two levels, first the block, then the token in it: V / BLOCK + BLOCK additions in a row instead of V, which is
    faster and rounds less.
    """
    before = blocks.cumsum(-1)
    block, rest = _search(before, uniform * before[:, -1])
    inside = mass.gather(1, block[:, None, None].expand(-1, 1, BLOCK)).squeeze(1).cumsum(-1)  # (n, BLOCK)
    token, _ = _search(inside, rest)
    return block * BLOCK + token


def _search(cumulative: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The first index whose cumulative sum exceeds `wanted`, and what is wanted beyond the sum before it.

    Rounding may bring `wanted` up to the last sum; it is held just below, so that no token without mass is ever drawn.
    """
    last = cumulative[:, -1]
    wanted = torch.minimum(wanted, torch.nextafter(last, torch.zeros_like(last)))
    index = torch.searchsorted(cumulative, wanted[:, None], right=True)  # (n, 1)
    below = torch.where(index > 0, cumulative.gather(-1, (index - 1).clamp(min=0)), 0.0)
    return index.squeeze(-1), wanted - below.squeeze(-1)
