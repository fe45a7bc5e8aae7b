"""The law that lets any model in: on packed sequences it must say what transformers says of each sequence alone."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models.attention import packed_hidden, plain_attention
from heedful.models.heads import Heads, Policy, RewardModel

LENGTHS = (7, 3, 5)
TOLERANCE = 1e-3  # of the largest output, in float32


@torch.no_grad()
def check_policy(policy: Policy) -> None:
    """Compare logits at every token; InputError where they differ."""
    examples, device = _sequences(policy.vocabulary, policy.lm.config.pad_token_id), policy.lm.device
    batch = pack(examples).to(device)
    packed = policy.head(packed_hidden(policy.lm.base_model, batch, batch.everywhere))
    with plain_attention(policy.lm) as lm:
        alone = [lm(torch.tensor([e.ids], device=device), use_cache=False).logits[0] for e in examples]
    _compare(policy.lm, packed, torch.cat(alone))


@torch.no_grad()
def check_reward_model(model: RewardModel) -> None:
    """Compare scores; InputError where they differ."""
    config, device = model.classifier.config, model.classifier.device
    examples = _sequences(config.vocab_size, config.pad_token_id)
    packed = model(pack(examples).to(device))
    with plain_attention(model.classifier) as classifier:
        alone = [classifier(torch.tensor([e.ids], device=device), use_cache=False).logits[0] for e in examples]
    _compare(model.classifier, packed, torch.cat(alone))


@torch.no_grad()
def check_heads(model: Heads) -> None:
    """Compare what the heads say at each sequence's end, or at every token; InputError where they differ."""
    config, device = model.classifier.config, model.classifier.device
    examples = _sequences(config.vocab_size, config.pad_token_id)
    batch = pack(examples).to(device)
    with plain_attention(model.classifier) as classifier:
        alone = [classifier(torch.tensor([e.ids], device=device), use_cache=False).logits[0] for e in examples]
    each_token = alone[0].dim() == 2
    at = batch.everywhere if each_token else batch.ends
    _compare(model.classifier, model(batch, at), torch.cat(alone) if each_token else torch.stack(alone))


def _sequences(vocabulary: int, pad_id: int) -> list[Example]:
    """A few short sequences of tokens from all over the vocabulary, none of them PAD."""
    ids = (token for i in range(1, 3 * sum(LENGTHS)) if (token := i * 7919 % vocabulary) != pad_id)
    return [Example(tuple(next(ids) for _ in range(length))) for length in LENGTHS]


def _compare(model: torch.nn.Module, packed: Tensor, alone: Tensor) -> None:
    if not alone.isfinite().all():
        broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
        why = f"its weights hold NaN or infinity ({', '.join(broken[:3])})" if broken else "its numbers overflow"
        raise InputError(f"{type(model).__name__}: {why}; take an earlier checkpoint, or train it again")
    gap, scale = float((packed - alone).abs().max()), max(1.0, float(alone.abs().max()))
    if not gap <= TOLERANCE * scale:
        raise InputError(
            f"{type(model).__name__}: gives other results on packed sequences than on single ones (by {gap:.2g}), so "
            "heedful can't train it; choose a model whose layers mix tokens by attention alone"
        )
