"""Log-probabilities of target tokens under a linear head, with a backward pass of their own.

Neither a gradient of logits nor a one-hot target is ever laid out in memory. Where all probabilities fit, they are kept
and the backward pass is two products; where they don't, it makes them again, in blocks of the vocabulary that a
processor's cache holds. Shapes: N targets, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 20  # logits made at once on a CPU: 4 MB, which its cache holds  # mutants: equivalent
ROWS = 256  # at least: with fewer, reading the head's weights costs more than the product  # mutants: equivalent
# Probabilities kept for the backward pass: 128 MB; of more than that they are made again.
KEPT = 1 << 25  # mutants: equivalent

Gradients = tuple[Tensor | None, Tensor | None]  # of the states and of the weights


def rows_at_once(vocabulary: int) -> int:
    """Targets whose logits are made together on a CPU."""
    return max(ROWS, PIECE // vocabulary)


def linear_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(h Wᵀ)[y] of every target, in float32. hidden (N, H), weight (V, H), tokens (N,) -> (N,)"""
    found: Tensor
    if len(tokens) * len(weight) > KEPT:
        found = _MadeAgain.apply(hidden, weight, tokens)  # type: ignore[no-untyped-call]
    else:
        learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
        found = _Kept.apply(hidden, weight, tokens, learns)  # type: ignore[no-untyped-call]
    return found


class _Kept(torch.autograd.Function):
    """∂ log p_y / ∂ logits = onehot(y) − p, with p (N, V) from the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, learns: bool) -> Tensor:
        rows = rows_at_once(len(weight))
        found, kept = hidden.new_empty(len(tokens)), []
        for part, chosen, out in zip(hidden.split(rows), tokens.split(rows), found.split(rows), strict=True):
            logits = part @ weight.t()  # (n, V)
            p = logits.softmax(-1)
            # log Σ_v exp z_v = max z − log max p, and both maxima are cheap where another sum of exponentials isn't
            out.copy_(logits.gather(1, chosen[:, None]).squeeze(1) - logits.amax(1) + p.amax(1).log())
            if learns:
                kept.append(p)
        ctx.save_for_backward(hidden, weight, tokens, *kept)
        return found

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, tokens, *kept = ctx.saved_tensors
        pulled, for_hidden, for_weight = _begun(hidden, weight, upstream, ctx.needs_input_grad)
        rows = rows_at_once(len(weight))
        for p, out, g_h in zip(kept, for_hidden.split(rows), pulled.split(rows), strict=True):
            if ctx.needs_input_grad[0]:
                torch.mm(p, weight, out=out)  # Σ_v p_v w_v
            if ctx.needs_input_grad[1]:
                for_weight.addmm_(p.t(), g_h, alpha=-1)  # −Σ_n p_v g h
        return *_ended(for_hidden, for_weight, weight, tokens, pulled, upstream, ctx.needs_input_grad), None, None


class _MadeAgain(torch.autograd.Function):
    """The same with Σ_v exp z_v summed block by block, and each block of p made again for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor) -> Tensor:
        top, total = hidden.new_full((len(tokens),), -torch.inf), hidden.new_zeros(len(tokens))
        for words in weight.split(PIECE // ROWS):
            for part, m, s in zip(hidden.split(ROWS), top.split(ROWS), total.split(ROWS), strict=True):
                logits = part @ words.t()
                new = torch.maximum(m, logits.amax(1))
                s.mul_((m - new).exp_()).add_(logits.sub_(new[:, None]).exp_().sum(1))
                m.copy_(new)
        log_total = top.add_(total.log_())
        ctx.save_for_backward(hidden, weight, tokens, log_total)
        chosen: Tensor = torch.linalg.vecdot(hidden, weight[tokens])
        return chosen - log_total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, weight, tokens, log_total = ctx.saved_tensors
        pulled, for_hidden, for_weight = _begun(hidden, weight, upstream, ctx.needs_input_grad)
        whole = (hidden, log_total, for_hidden, pulled)
        for words, block in zip(weight.split(PIECE // ROWS), for_weight.split(PIECE // ROWS), strict=True):
            for part, lse, out, g_h in zip(*(t.split(ROWS) for t in whole), strict=True):
                p = (part @ words.t()).sub_(lse[:, None]).exp_()  # (n, v)
                if ctx.needs_input_grad[0]:
                    out.addmm_(p, words)
                if ctx.needs_input_grad[1]:
                    block.addmm_(p.t(), g_h, alpha=-1)
        return *_ended(for_hidden, for_weight, weight, tokens, pulled, upstream, ctx.needs_input_grad), None


def _begun(hidden: Tensor, weight: Tensor, upstream: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """g h, and zeros where gradients are summed. -> (N, H), (N, H), (V, H)"""
    return hidden * upstream[:, None], torch.zeros_like(hidden), torch.zeros_like(weight) if needed[1] else weight


def _ended(
    for_hidden: Tensor,
    for_weight: Tensor,
    weight: Tensor,
    tokens: Tensor,
    pulled: Tensor,
    upstream: Tensor,
    needed: tuple[bool, ...],
) -> Gradients:
    """The target's own part is added: g (w_y − Σ_v p_v w_v) for the states, g h at y for the weights."""
    if needed[1]:
        for_weight.index_add_(0, tokens, pulled)
    states = weight[tokens].sub_(for_hidden).mul_(upstream[:, None]) if needed[0] else None
    return states, for_weight if needed[1] else None
