"""Log-probabilities of target tokens under a linear head, with a backward pass of their own.

Logits are made in pieces that stay in a processor's cache, and what log-softmax's slope needs is at hand there: neither
a gradient of logits nor a one-hot target is ever laid out in memory. Shapes: N targets, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 20  # logits made at once on a CPU: 4 MB, which its cache holds  # mutants: equivalent
ROWS = 256  # at least: with fewer, reading the head's weights costs more than the product  # mutants: equivalent
# Log-probabilities kept for the backward pass: 128 MB; of more than that they are made again.
KEPT = 1 << 25  # mutants: equivalent


def rows_at_once(vocabulary: int) -> int:
    """Targets whose logits are made together on a CPU."""
    return max(ROWS, PIECE // vocabulary)


def linear_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(h Wᵀ)[y] of every target, in float32. hidden (N, H), weight (V, H), tokens (N,) -> (N,)"""
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    keep = learns and len(tokens) * len(weight) <= KEPT
    found: Tensor = _LinearLogprobs.apply(hidden, weight, tokens, keep)  # type: ignore[no-untyped-call]
    return found


class _LinearLogprobs(torch.autograd.Function):
    """∂ log p_y / ∂ logits = onehot(y) − p."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, keep: bool) -> Tensor:
        rows = rows_at_once(len(weight))
        found, kept = hidden.new_empty(len(tokens)), []
        for part, chosen, out in zip(hidden.split(rows), tokens.split(rows), found.split(rows), strict=True):
            log_p = torch.log_softmax(part @ weight.t(), dim=-1)  # (n, V)
            torch.gather(log_p, 1, chosen[:, None], out=out[:, None])
            if keep:
                kept.append(log_p)
        ctx.save_for_backward(hidden, weight, tokens, *kept)
        return found

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, tokens, *kept = ctx.saved_tensors
        rows = rows_at_once(len(weight))
        for_hidden, for_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.empty_like(hidden) if for_hidden else hidden.new_empty(len(hidden), 0)
        d_weight = torch.zeros_like(weight) if for_weight else weight
        parts = zip(*(t.split(rows) for t in (hidden, tokens, upstream, d_hidden)), strict=True)
        for place, (part, chosen, g, out) in enumerate(parts):
            log_p = kept[place] if kept else torch.log_softmax(part @ weight.t(), dim=-1)
            slope = log_p.exp().mul_(-g[:, None])  # −g p
            slope.scatter_add_(1, chosen[:, None], g[:, None])  # g (onehot(y) − p)
            if for_hidden:
                torch.mm(slope, weight, out=out)
            if for_weight:
                d_weight.addmm_(slope.t(), part)
        return d_hidden if for_hidden else None, d_weight if for_weight else None, None, None
