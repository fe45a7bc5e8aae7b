"""Log-probabilities of target tokens under a linear head, with a backward pass of their own.

Neither a gradient of logits nor a one-hot target is ever laid out in memory. Where all probabilities fit, they are kept
and the backward pass is two products; where they don't, it makes them again, in blocks of the vocabulary that a
processor's cache holds. Products may be in bfloat16; sums of exponentials and of weights' gradients are not.
Shapes: N targets, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 20  # logits made at once on a CPU: 4 MB, which its cache holds  # mutants: equivalent
ROWS = 256  # at least: with fewer, reading the head's weights costs more than the product  # mutants: equivalent
# Probabilities kept for the backward pass: 128 MB; of more than that they are made again.
KEPT = 1 << 25  # mutants: equivalent

Gradients = tuple[Tensor | None, Tensor | None, None, None, None]  # of the states and of the weights


def rows_at_once(vocabulary: int) -> int:
    """Targets whose logits are made together on a CPU."""
    return max(ROWS, PIECE // vocabulary)


def linear_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor, *, half: bool = False) -> Tensor:
    """log softmax(h Wᵀ)[y] of every target, in the states' precision. hidden (N, H), weight (V, H), tokens (N,) -> (N,)

    half: the products are computed in bfloat16.
    """
    kind = torch.bfloat16 if half else hidden.dtype
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    way = _MadeAgain if len(tokens) * len(weight) > KEPT else _Kept
    found: Tensor = way.apply(hidden, weight, tokens, kind, learns)  # type: ignore[no-untyped-call]
    return found


class _Kept(torch.autograd.Function):
    """∂ log p_y / ∂ logits = onehot(y) − p, with p (N, V) from the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, kind: torch.dtype, learns: bool) -> Tensor:
        states, words, rows = hidden.to(kind), weight.to(kind), rows_at_once(len(weight))
        found, kept = hidden.new_empty(len(tokens)), states.new_empty(len(tokens) if learns else 0, len(weight))
        for first in range(0, len(tokens), rows):
            own = slice(first, first + rows)
            logits = (states[own] @ words.t()).to(hidden.dtype)  # (n, V)
            p = logits.softmax(-1)
            # log Σ_v exp z_v = max z − log max p, and both maxima are cheap where another sum of exponentials isn't
            found[own] = logits.gather(1, tokens[own, None]).squeeze(1) - logits.amax(1) + p.amax(1).log()
            if learns:
                kept[own] = p
        ctx.save_for_backward(hidden, weight, tokens, kept)
        return found

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        hidden, weight, tokens, p = ctx.saved_tensors
        pulled, for_hidden, for_weight = hidden * upstream[:, None], hidden, weight
        if ctx.needs_input_grad[0]:
            for_hidden = (p @ weight.to(p.dtype)).to(hidden.dtype)  # Σ_v p_v w_v
        if ctx.needs_input_grad[1]:
            for_weight = (p.t() @ pulled.neg().to(p.dtype)).to(weight.dtype)  # −Σ_n p_v g h
        return _ended(for_hidden, for_weight, weight, tokens, pulled, upstream, ctx.needs_input_grad)


class _MadeAgain(torch.autograd.Function):
    """The same with Σ_v exp z_v summed block by block, and each block of p made again for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, kind: torch.dtype, learns: bool) -> Tensor:
        top, total = hidden.new_full((len(tokens),), -torch.inf), hidden.new_zeros(len(tokens))
        states = hidden.to(kind)
        for block in weight.split(PIECE // ROWS):
            words = block.to(kind)
            for part, m, s in zip(states.split(ROWS), top.split(ROWS), total.split(ROWS), strict=True):
                logits = (part @ words.t()).to(hidden.dtype)
                new = torch.maximum(m, logits.amax(1))
                s.mul_((m - new).exp_()).add_(logits.sub_(new[:, None]).exp_().sum(1))
                m.copy_(new)
        log_total = top.add_(total.log_())
        ctx.save_for_backward(hidden, weight, tokens, log_total)
        ctx.kind = kind
        states, words = states.to(hidden.dtype), weight[tokens].to(kind).to(hidden.dtype)
        chosen: Tensor = torch.linalg.vecdot(states, words).to(kind).to(hidden.dtype)  # rounded as all logits are
        return chosen - log_total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        hidden, weight, tokens, log_total = ctx.saved_tensors
        pulled, for_hidden = hidden * upstream[:, None], torch.zeros_like(hidden)
        for_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else weight
        whole = (hidden.to(ctx.kind), log_total, for_hidden, pulled.neg().to(ctx.kind))
        for block, sums in zip(weight.split(PIECE // ROWS), for_weight.split(PIECE // ROWS), strict=True):
            words = block.to(ctx.kind)
            for part, lse, out, g_h in zip(*(t.split(ROWS) for t in whole), strict=True):
                p = (part @ words.t()).to(hidden.dtype).sub_(lse[:, None]).exp_().to(ctx.kind)  # (n, v)
                if ctx.needs_input_grad[0]:
                    _add(out, p, words)
                if ctx.needs_input_grad[1]:
                    _add(sums, p.t(), g_h)
        return _ended(for_hidden, for_weight, weight, tokens, pulled, upstream, ctx.needs_input_grad)


def _add(sums: Tensor, a: Tensor, b: Tensor) -> None:
    """sums += a b, which may have fewer bits."""
    if a.dtype == sums.dtype:
        sums.addmm_(a, b)
    else:
        sums.add_(a @ b)


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
    return states, for_weight if needed[1] else None, None, None, None
