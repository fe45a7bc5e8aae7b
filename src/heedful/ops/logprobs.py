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

Head = Callable[[Tensor], Tensor]  # hidden states (n, H) -> logits (n, V)

CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MB in fp32


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(logits)[tokens] in fp32. logits (n, V), tokens (n,) -> (n,)."""
    return -cross_entropy(logits.float(), tokens, reduction="none")


def chunked_logprobs(
    hidden: Tensor, tokens: Tensor, head: Head, *, vocabulary: int, temperature: float = 1.0
) -> Tensor:
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


def _again(one: Callable[[Tensor, Tensor], Tensor], part: Tensor, part_tokens: Tensor) -> Tensor:
    result: Tensor = checkpoint(one, part, part_tokens, use_reentrant=False, preserve_rng_state=False)  # draws nothing
    return result


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    """logits/temperature; at 1 not even a copy, since (n, V) is the largest thing of a step."""
    return logits if temperature == 1.0 else logits / temperature


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return torch.log_softmax(_tempered(logits.float(), temperature), dim=-1)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What full-vocabulary metrics need of one model at N targets; made without gradients."""

    logprobs: Tensor  # (N,) of the targets
    entropy: Tensor  # (N,) of the next-token distribution


@torch.no_grad()
def chunked_entropy(
    hidden: Tensor, tokens: Tensor, head: Head, *, vocabulary: int, temperature: float = 1.0
) -> Distribution:
    """Target log-probabilities and exact entropies, in chunks."""
    logprobs, entropies = [], []
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    for part, part_tokens in zip(torch.split(hidden, rows), torch.split(tokens, rows), strict=True):
        log_p = _log_softmax(head(part), temperature)  # (n, V)
        logprobs.append(log_p.gather(-1, part_tokens[:, None]).squeeze(-1))
        entropies.append(-(log_p.exp() * log_p).sum(-1))
    return Distribution(torch.cat(logprobs), torch.cat(entropies))


@torch.no_grad()
def chunked_kl(
    hidden: Tensor, head: Head, other_hidden: Tensor, other_head: Head, *, vocabulary: int, temperature: float = 1.0
) -> Tensor:
    """Exact KL(p || q) over the full vocabulary at each of N positions, in chunks.

    p = softmax(head(hidden)/temperature), q = softmax(other_head(other_hidden)/temperature). -> (N,)
    """
    result = []
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    for part, other in zip(torch.split(hidden, rows), torch.split(other_hidden, rows), strict=True):
        log_p = _log_softmax(head(part), temperature)
        log_q = _log_softmax(other_head(other), temperature)
        result.append((log_p.exp() * (log_p - log_q)).sum(-1))  # Σ_v p_v (log p_v − log q_v)
    return torch.cat(result)


def sequence_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Sums of consecutive segments. values (N,), lengths (B,) summing to N -> (B,)."""
    segment = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    return torch.zeros(len(lengths), dtype=values.dtype, device=values.device).index_add(0, segment, values)
