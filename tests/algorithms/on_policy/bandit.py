"""A policy of free numbers over six outcomes, answers of one token: every optimum can be written down."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.batches import PackedBatch
from heedful.data.packing import pack
from heedful.ops.kl import exact_kl

NOTHING = pack([])
REFERENCE = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03]).log()
REWARDS = torch.tensor([-0.5, 0.2, 0.0, 0.6, 1.0, -1.0])
BETA = 0.5
GOAL = (REFERENCE + REWARDS / BETA).softmax(-1)  # π_ref exp(r/β)/Z


def apart(one: Tensor, other: Tensor) -> float:
    """Total variation of two distributions."""
    return float(0.5 * (one - other).abs().sum())


def single_tokens(tokens: Tensor) -> PackedBatch:
    """Prompts of one token, answers of one token; built whole, as thousands of Examples would be slow."""
    count = len(tokens)
    return PackedBatch(
        input_ids=torch.stack([torch.zeros_like(tokens), tokens], 1).flatten(),
        position_ids=torch.tensor([0, 1]).repeat(count),
        lengths=torch.full((count,), 2),
        targets=torch.arange(count) * 2 + 1,
        target_lengths=torch.ones(count, dtype=torch.long),
    )


class Bandit(nn.Module):
    """An actor of one logit an outcome."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    @property
    def logprobs(self) -> Tensor:
        return torch.log_softmax(self.logits, -1)

    def forward(self, batch: PackedBatch, text: PackedBatch, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        logprobs = torch.log_softmax(self.logits / temperature, -1)
        chosen = logprobs[batch.target_ids]
        kl = exact_kl(logprobs, REFERENCE).expand(len(chosen))
        return chosen, kl, logprobs.new_zeros(0)
