"""Sequences that begin alike: computed once, they say and learn what separate ones do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.test_attention import build, everywhere, loud, sequences
from tests.models.test_heads import classifier

from heedful.data.packing import Example, pack
from heedful.models import sharing
from heedful.models.attention import packed_hidden
from heedful.models.heads import Policy, RewardModel
from heedful.models.sharing import Plan, in_common

PROMPT, OTHER = (tuple(e.ids) for e in sequences(20, 18))
A, B, C, D, E = (tuple(e.ids) for e in sequences(3, 9, 5, 12, 1))
ANSWERS = [
    Example(PROMPT + B, 20),
    Example(PROMPT + A, 20),
    Example(PROMPT + A + C, 20),  # goes on where another answer to the prompt ends
    Example(PROMPT + A + C, 20),  # and once more
    Example(OTHER + D, 18),
    Example(OTHER + E, 18),
    Example(A, 1),
]


def test_beginnings_are_found_where_they_are_long_enough() -> None:
    lengths = np.array([len(e.ids) for e in ANSWERS])
    ids = np.array([i for e in ANSWERS for i in e.ids])
    assert in_common(ids, lengths) == [0, 20, 23, 28, 0, 18, 0]


def test_a_shared_token_is_seen_once() -> None:
    batch = pack(ANSWERS)
    plan = Plan.of(batch)
    assert len(plan.tokens) == 20 + 9 + 3 + 5 + 0 + 18 + 12 + 1 + 3
    assert torch.equal(batch.input_ids[plan.tokens][plan.place], batch.input_ids)
    assert torch.equal(batch.position_ids[plan.tokens][plan.place], batch.position_ids)


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing is shared."""
    monkeypatch.setattr(sharing, "LEAST", 1000)


UNLIKE = [
    Example(ids + rest, len(ids)) for ids, rest in ((OTHER, A), (OTHER, PROMPT), (A * 10, B), (A * 10, PROMPT[:14]))
]


@pytest.mark.parametrize("answers", [ANSWERS, UNLIKE])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "mistral"])
def test_states_log_probabilities_and_gradients_are_those_of_separate_sequences(
    name: str, answers: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistral's window of 4 is shorter than what is shared; and of two rests in one grid the shorter one belongs to the
    longer sequence, so that places behind its end see no key at all."""
    model = build(name).eval()
    policy, weights = Policy(model), torch.randn(len(pack(answers).targets))
    found = []
    for _ in range(2):
        model.zero_grad()
        logprobs = policy(pack(answers))
        (weights * logprobs).sum().backward()
        slopes = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append((everywhere(policy, answers), logprobs, slopes))
        apart(monkeypatch)
    (states, logprobs, slopes), (states_apart, logprobs_apart, slopes_apart) = found
    torch.testing.assert_close(states, states_apart, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logprobs, logprobs_apart, rtol=1e-5, atol=1e-6)
    for parameter, slope in slopes.items():
        scale = float(slopes_apart[parameter].abs().max())
        torch.testing.assert_close(slope, slopes_apart[parameter], rtol=1e-5, atol=1e-6 * max(1.0, scale))


def test_bfloat16_products_share_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(build("llama").eval())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        shared = policy(pack(ANSWERS))
        apart(monkeypatch)
        torch.testing.assert_close(shared, policy(pack(ANSWERS)), rtol=0.0, atol=0.02)


def test_scores_are_those_of_separate_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RewardModel(classifier("llama"))
    short = [Example(tuple(i % 11 + 1 for i in e.ids[:26][-12:]), 1) for e in ANSWERS]
    monkeypatch.setattr(sharing, "LEAST", 2)
    shared = model(pack(short))
    apart(monkeypatch)
    torch.testing.assert_close(shared, model(pack(short)), rtol=1e-5, atol=1e-6)


def test_a_sequence_knows_nothing_of_what_others_do_with_its_beginning() -> None:
    policy = Policy(loud(build("llama")))
    changed = [ANSWERS[0], Example((*PROMPT, *(i % 63 + 1 for i in A)), 20), *ANSWERS[2:]]
    before, after = everywhere(policy, ANSWERS), everywhere(policy, changed)
    assert torch.equal(before[:29], after[:29])
    assert not torch.allclose(before[49:52], after[49:52])


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral", "gpt2"])
def test_states_asked_for_are_those_of_all(name: str) -> None:
    """Few are asked for, so the last block runs there alone; the same token may be asked for twice, in any order."""
    policy = Policy(loud(build(name)))
    at = torch.tensor([40, 3, 3, 70, 22, 21])
    some = packed_hidden(policy.lm.base_model, pack(ANSWERS), at)
    torch.testing.assert_close(some, everywhere(policy, ANSWERS)[at], rtol=1e-4, atol=1e-4)
