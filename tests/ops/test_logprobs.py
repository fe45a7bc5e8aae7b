"""Log-probabilities, entropies and KL against hand-worked values, whole and in chunks."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from heedful.ops import logprobs
from heedful.ops.logprobs import (
    chunked_collision,
    chunked_divergence,
    chunked_kl,
    chunked_logprobs,
    sequence_prefix_sums,
    sequence_sums,
    token_logprobs,
)

LOGITS = torch.tensor([[0.0, log(2), log(3)]])  # p = 1/6, 2/6, 3/6


def identity(hidden: Tensor) -> Tensor:
    return hidden


@pytest.mark.parametrize(("token", "probability"), [(0, 1 / 6), (1, 2 / 6), (2, 3 / 6)])
def test_token_logprobs_by_hand(token: int, probability: float) -> None:
    assert token_logprobs(LOGITS, torch.tensor([token])).item() == pytest.approx(log(probability))


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = torch.tensor([[0.0, 100.0]], dtype=torch.bfloat16)
    result = token_logprobs(logits, torch.tensor([0]))
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(-100.0)


def test_temperature_divides_the_logits() -> None:
    hot = chunked_logprobs(LOGITS * 2, torch.tensor([2]), identity, vocabulary=3, temperature=2.0)
    assert hot.item() == pytest.approx(log(1 / 2))


def test_chunks_give_the_same_values_and_gradients_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(7, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    tokens, upstream = torch.tensor([0, 4, 2, 1, 3, 0, 2]), torch.randn(7)
    rows: list[int] = []

    def head(part: Tensor) -> Tensor:
        rows.append(len(part))
        return part @ weight.T

    whole = chunked_logprobs(hidden, tokens, head, vocabulary=5, temperature=0.7)
    expected = torch.autograd.grad(whole, (hidden, weight), upstream)
    assert rows == [7]
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 10)  # two rows of five
    rows.clear()
    parts = chunked_logprobs(hidden, tokens, head, vocabulary=5, temperature=0.7)
    gradients = torch.autograd.grad(parts, (hidden, weight), upstream)
    assert max(rows) == 2
    assert sum(rows) == 14  # once forward, once again in the backward pass
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(gradients, expected)
    with torch.no_grad():
        torch.testing.assert_close(chunked_logprobs(hidden, tokens, head, vocabulary=5, temperature=0.7), whole)


def test_no_target_is_no_error() -> None:
    hidden = torch.zeros(0, 3, requires_grad=True)
    result = chunked_logprobs(hidden, torch.zeros(0, dtype=torch.long), identity, vocabulary=3, temperature=1.0)
    result.sum().backward()
    assert result.shape == (0,)


def test_divergence_by_hand_has_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 3)
    tokens = torch.tensor([1, 2])
    p, q = torch.tensor([[0.7, 0.2, 0.1]] * 2).log(), torch.tensor([[0.4, 0.4, 0.2]] * 2).log()
    forward = 0.7 * log(0.7 / 0.4) + 0.2 * log(0.2 / 0.4) + 0.1 * log(0.1 / 0.2)  # 0.1838
    backward = 0.4 * log(0.4 / 0.7) + 0.4 * log(0.4 / 0.2) + 0.2 * log(0.2 / 0.1)  # 0.1920
    found = chunked_divergence(p, identity, q, identity, tokens, vocabulary=3)
    turned = chunked_divergence(q, identity, p, identity, tokens, vocabulary=3)
    at_two = chunked_divergence(p * 2, identity, q * 2, identity, tokens, vocabulary=3, temperature=2.0)
    entropy = -(0.7 * log(0.7) + 0.2 * log(0.2) + 0.1 * log(0.1))
    for result, name, by_hand in (
        (found, "kl", [forward] * 2),
        (turned, "kl", [backward] * 2),
        (at_two, "kl", [forward] * 2),
        (found, "entropy", [entropy] * 2),
        (found, "logprobs", [log(0.2), log(0.1)]),
        (found, "other_logprobs", [log(0.4), log(0.2)]),
    ):
        torch.testing.assert_close(getattr(result, name), torch.tensor(by_hand))


def test_sequence_sums_with_an_empty_sequence() -> None:
    sums = sequence_sums(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([1, 0, 3]))
    assert sums.tolist() == [1.0, 0.0, 14.0]


def test_prefixes_are_summed_from_each_segments_own_start() -> None:
    """Segments [1 2 3], [4], [5 6]: two of the first, one of the last, all of the first, and the second."""
    values, lengths = torch.tensor([1.0, 2, 3, 4, 5, 6], requires_grad=True), torch.tensor([3, 1, 2])
    found = sequence_prefix_sums(values, lengths, torch.tensor([0, 2, 0, 1]), torch.tensor([2, 1, 3, 1]))
    assert found.tolist() == [3, 5, 6, 4]
    (slope,) = torch.autograd.grad(found.sum(), values)
    assert slope.tolist() == [2, 2, 1, 1, 1, 0]


def test_collision_is_the_chance_that_two_draws_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """(1/6)² + (2/6)² + (3/6)² = 14/36; 1/3 where all are equal; in chunks as in one."""
    logits = torch.cat([LOGITS, torch.zeros(1, 3)])
    whole = chunked_collision(logits, identity, vocabulary=3)
    assert whole.tolist() == pytest.approx([log(14 / 36), log(1 / 3)])
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", 3)
    assert torch.equal(chunked_collision(logits.requires_grad_(True), identity, vocabulary=3), whole)


def test_kl_with_a_gradient_is_the_measured_one_whole_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(7, 5, generator=draw).requires_grad_()
    other, tokens = torch.randn(7, 5, generator=draw), torch.zeros(7, dtype=torch.long)
    seen = chunked_divergence(hidden, identity, other, identity, tokens, vocabulary=5, temperature=0.7)
    found = []
    for elements in (1 << 23, 10):  # two rows at a time
        monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", elements)
        kl = chunked_kl(hidden, identity, other, identity, vocabulary=5, temperature=0.7)
        assert torch.allclose(kl, seen.kl, atol=1e-6)
        found.append(torch.autograd.grad(kl.sum(), hidden)[0])
    assert torch.allclose(*found, atol=1e-6)
    nearer = chunked_kl(hidden - 0.1 * found[0], identity, other, identity, vocabulary=5, temperature=0.7)
    assert float(nearer.detach().sum()) < float(seen.kl.sum())
