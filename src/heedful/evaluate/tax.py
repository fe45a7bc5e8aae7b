"""The alignment tax: how much worse a model predicts held-out text than the base it came from, in bits per byte."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.evaluate.statistics import clustered_bootstrap
from heedful.models.heads import Policy
from heedful.records import Messages


@torch.no_grad()
def document_bits(
    policy: Policy, chat: Chat, documents: Sequence[str | Messages], *, context: int, tokens_per_batch: int
) -> list[tuple[float, int]]:
    """(bits, bytes) of each document: −Σ log₂ p over its tokens, and the UTF-8 bytes of the text that they spell.

    Documents are whole pages without a chat template's generation prompt; what lies behind the context is cut off.
    """
    examples = [Example(chat.document(document).ids[:context]) for document in documents]
    sizes = [len(chat.decode(example.ids).encode()) for example in examples]
    device = next(policy.parameters()).device
    bits: list[float] = []
    for group in groups_by_tokens([len(e.ids) for e in examples], tokens_per_batch):
        batch = pack([examples[i] for i in group])
        logprobs = policy(batch.to(device)).cpu().double()
        bits += [-float(part.sum()) / log(2) for part in logprobs.split(batch.target_lengths.tolist())]
    return list(zip(bits, sizes, strict=True))


def tax_rows(
    measured: dict[str, list[tuple[float, int]]], base: str, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Bits per byte of each model with the paired difference to the base; documents are resampled."""
    base_bits = np.array([bits for bits, _ in measured[base]])
    rows = {}
    for name, documents in measured.items():
        bits, sizes = np.array([b for b, _ in documents]), np.array([float(s) for _, s in documents])
        units = range(len(bits))
        low, high = clustered_bootstrap(bits, units, rng, weights=sizes)
        down, up = clustered_bootstrap(bits - base_bits, units, rng, weights=sizes)
        rows[name] = {
            "bits_per_byte": float(bits.sum() / sizes.sum()),
            "low": low,
            "high": high,
            "difference": float((bits - base_bits).sum() / sizes.sum()),
            "difference_low": down,
            "difference_high": up,
            "relative": float((bits - base_bits).sum() / base_bits.sum()),
            "documents": len(bits),
        }
    return rows
