"""Log-probabilities of target tokens, in chunks: the (N, V) logits are never whole in memory.

Shapes: N target tokens, H hidden size, V vocabulary, B sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from heedful.ops.compiled.divergence import can_read, divergence_of_rows
from heedful.ops.kl import exact_kl
from heedful.ops.linear_logprobs import rows_at_once

Head = Callable[[Tensor], Tensor]  # hidden states (n, H) -> logits (n, V)

CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MB in fp32; any number gives the same  # mutants: equivalent


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(logits)[tokens] in fp32. logits (n, V), tokens (n,) -> (n,)."""
    return -cross_entropy(logits.float(), tokens, reduction="none")


def chunked_logprobs(hidden: Tensor, tokens: Tensor, head: Head, *, vocabulary: int, temperature: float) -> Tensor:
    """Log-probability of each target under softmax(head(hidden)/temperature). hidden (N, H), tokens (N,) -> (N,).

    Each chunk's logits are dropped after the forward pass and made again in the backward pass.
    """
    rows = max(1, CHUNK_ELEMENTS // vocabulary)

    def one(part: Tensor, part_tokens: Tensor) -> Tensor:
        return token_logprobs(_tempered(head(part), temperature), part_tokens)

    if len(tokens) <= rows:
        return one(hidden, tokens)
    parts = zip(torch.split(hidden, rows), torch.split(tokens, rows), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([one(part, part_tokens) for part, part_tokens in parts])
    return torch.cat([_again(one, part, part_tokens) for part, part_tokens in parts])


def _again(one: Callable[[Tensor, Tensor], Tensor], part: Tensor, other: Tensor) -> Tensor:
    result: Tensor = checkpoint(one, part, other, use_reentrant=False, preserve_rng_state=False)  # draws nothing
    return result


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    """logits/temperature; at 1 not even a copy, since (n, V) is the largest thing of a step."""
    return logits if temperature == 1.0 else logits / temperature


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return torch.log_softmax(_tempered(logits.float(), temperature), dim=-1)


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """Σ_v a_v b_v, with no (n, V) product in memory. (n, V), (n, V) -> (n,)"""
    return torch.einsum("nv,nv->n", a, b)


@dataclass(frozen=True, slots=True)
class Divergence:
    """What two models say about N sampled tokens, the first one's whole next-token distribution against the other's."""

    logprobs: Tensor  # (N,) of the targets under the first model, p
    entropy: Tensor  # (N,) of p
    other_logprobs: Tensor  # (N,) of the targets under the other model, q
    kl: Tensor  # (N,) exact KL(p || q) over the vocabulary


@torch.no_grad()
def chunked_divergence(
    hidden: Tensor,
    head: Head,
    other_hidden: Tensor,
    other_head: Head,
    tokens: Tensor,
    *,
    vocabulary: int,
    temperature: float = 1.0,
) -> Divergence:
    """Read both models at N positions, in chunks, each head once.

    p = softmax(head(hidden)/temperature), q = softmax(other_head(other_hidden)/temperature).
    """
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    rows = min(rows, rows_at_once(vocabulary)) if hidden.device.type == "cpu" else rows
    columns: list[tuple[Tensor, ...]] = []
    parts = (torch.split(states, rows) for states in (hidden, other_hidden, tokens))
    for part, other, part_tokens in zip(*parts, strict=True):
        logits, other_logits = head(part), other_head(other)  # (n, V)
        if can_read(logits, other_logits):
            columns.append(divergence_of_rows(logits, other_logits, part_tokens, temperature).unbind(1))
            continue
        log_p = _log_softmax(logits, temperature)
        log_q = _log_softmax(other_logits, temperature)
        p, chosen = log_p.exp(), part_tokens[:, None]
        columns.append(
            (
                log_p.gather(-1, chosen).squeeze(-1),
                -_row_sums(p, log_p),  # H(p) = −Σ_v p_v log p_v
                log_q.gather(-1, chosen).squeeze(-1),
                _row_sums(p, torch.sub(log_p, log_q, out=log_q)),  # Σ_v p_v (log p_v − log q_v)
            )
        )
    return Divergence(*(torch.cat(column) for column in zip(*columns, strict=True)))


@torch.no_grad()
def chunked_collision(hidden: Tensor, head: Head, *, vocabulary: int) -> Tensor:
    """log Σ_v π(v)² of the next-token distribution at N positions: how concentrated it is. hidden (N, H) -> (N,)

    0 where one token is certain, −log V where all are equally likely.
    """
    parts = torch.split(hidden, max(1, CHUNK_ELEMENTS // vocabulary))
    return torch.cat([(2 * _log_softmax(head(part), 1.0)).logsumexp(-1) for part in parts])


def sequence_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Sums of consecutive segments. values (N,), lengths (B,) summing to N -> (B,)."""
    segment = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    return torch.zeros(len(lengths), dtype=values.dtype, device=values.device).index_add(0, segment, values)


def sequence_prefix_sums(values: Tensor, lengths: Tensor, which: Tensor, counts: Tensor) -> Tensor:
    """Sums of the first counts[p] values of segment which[p]. values (N,), lengths (B,), which and counts (P,) -> (P,).

    A segment may be asked for several times, with other counts; none is asked for more values than it has.
    """
    starts = lengths.cumsum(0) - lengths  # (B,)
    before = counts.cumsum(0) - counts  # (P,)
    shift = torch.repeat_interleave(starts[which] - before, counts)
    return sequence_sums(values[torch.arange(len(shift), device=values.device) + shift], counts)


def chunked_kl(
    hidden: Tensor, head: Head, other_hidden: Tensor, other_head: Head, *, vocabulary: int, temperature: float
) -> Tensor:
    """Exact KL(p ‖ q) over the vocabulary at N positions, with a gradient to p. (N, H), (N, H') -> (N,)

    p = softmax(head(hidden)/temperature), q = softmax(other_head(other_hidden)/temperature). Like `chunked_logprobs`,
    each chunk's logits are made again in the backward pass.
    """
    rows = max(1, CHUNK_ELEMENTS // vocabulary)

    def one(part: Tensor, other: Tensor) -> Tensor:
        with torch.no_grad():
            log_q = _log_softmax(other_head(other), temperature)
        return exact_kl(_log_softmax(head(part), temperature), log_q)

    parts = list(zip(torch.split(hidden, rows), torch.split(other_hidden, rows), strict=True))
    if len(parts) == 1 or not torch.is_grad_enabled():
        return torch.cat([one(part, other) for part, other in parts])
    return torch.cat([_again(one, part, other) for part, other in parts])
