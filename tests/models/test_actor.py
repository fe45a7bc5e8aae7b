"""What is trained without a critic: log-probabilities, text beside them, and the distance to the reference."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import grad
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.data.packing import Example, pack
from heedful.models.actor import Actor, LeashedActor
from heedful.models.heads import Policy

CONFIG = LlamaConfig(
    vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=32, initializer_range=0.3, pad_token_id=0,
)  # fmt: skip
BATCH = pack([Example((5, 6, 7, 8), answer=2), Example((9, 10, 11), answer=1)])
TEXT, NOTHING = pack([Example((3, 4, 5))]), pack([])


def policy(seed: int) -> Policy:
    torch.manual_seed(seed)
    return Policy(LlamaForCausalLM(CONFIG))


def test_an_actor_says_what_its_policy_says() -> None:
    one = policy(0)
    logprobs, kl, text = Actor(one)(BATCH, TEXT, 0.8)
    assert torch.equal(logprobs, one(BATCH, 0.8)) and torch.equal(text, one(TEXT))
    assert kl.tolist() == [0.0] * 4
    assert len(Actor(one)(BATCH, NOTHING, 0.8)[2]) == 0


def test_a_leashed_actor_says_how_far_it_is_with_a_gradient_of_its_own() -> None:
    one, reference = policy(0), policy(1).requires_grad_(False)
    model = LeashedActor(one, reference)
    logprobs, kl, _ = model(BATCH, NOTHING, 0.8)
    seen = one.divergence(reference, BATCH, 0.8)
    assert torch.allclose(logprobs, seen.logprobs, atol=1e-6) and torch.allclose(kl, seen.kl, atol=1e-6)
    gradients = grad(kl.sum(), list(model.parameters()))
    assert len(gradients) == len(list(one.parameters()))  # the reference is no part of what is trained
    with torch.no_grad():
        for parameter, slope in zip(one.parameters(), gradients, strict=True):
            parameter -= 1e-3 * slope
    assert float(one.divergence(reference, BATCH, 0.8).kl.sum()) < float(seen.kl.sum())


def test_at_the_reference_the_distance_is_nought() -> None:
    one = policy(0)
    kl = LeashedActor(one, policy(0))(BATCH, NOTHING, 1.0)[1].detach()
    assert float(kl.abs().max()) == pytest.approx(0.0, abs=1e-6)
