"""Log-probabilities under a linear head: autograd's values and gradients, in pieces and with nothing kept."""

from __future__ import annotations

import pytest
import torch

from heedful.ops import linear_logprobs as module
from heedful.ops.linear_logprobs import linear_logprobs
from heedful.ops.logprobs import token_logprobs


@pytest.mark.parametrize(("rows", "kept"), [(256, 1 << 25), (2, 1 << 25), (2, 0), (256, 0)])
def test_values_and_gradients_are_autograds(rows: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PIECE", 2 * rows), ("ROWS", rows), ("KEPT", kept)):
        monkeypatch.setattr(module, name, value)
    draw = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 4, generator=draw, dtype=torch.float64).requires_grad_() for n in (7, 5))
    tokens, upstream = torch.tensor([0, 4, 2, 1, 3, 0, 2]), torch.randn(7, generator=draw, dtype=torch.float64)
    expected = torch.log_softmax(hidden @ weight.T, -1).gather(-1, tokens[:, None]).squeeze(-1)
    found = linear_logprobs(hidden, weight, tokens)
    torch.testing.assert_close(found, expected)
    slopes = torch.autograd.grad(found, (hidden, weight), upstream)
    torch.testing.assert_close(slopes, torch.autograd.grad(expected, (hidden, weight), upstream))
    with torch.no_grad():
        assert torch.equal(linear_logprobs(hidden, weight, tokens), found)


def test_what_is_frozen_gets_no_gradient() -> None:
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    linear_logprobs(hidden, weight, torch.tensor([0, 1, 2])).sum().backward()
    assert hidden.grad is not None and weight.grad is None
    hidden, weight = hidden.detach(), weight.requires_grad_()
    linear_logprobs(hidden, weight, torch.tensor([0, 1, 2])).sum().backward()
    assert weight.grad is not None


def test_float32_agrees_with_the_whole_softmax_and_no_target_is_no_error() -> None:
    hidden, weight, tokens = torch.randn(6, 8), torch.randn(9, 8), torch.arange(6)
    torch.testing.assert_close(linear_logprobs(hidden, weight, tokens), token_logprobs(hidden @ weight.T, tokens))
    none = linear_logprobs(hidden[:0].requires_grad_(), weight.requires_grad_(), tokens[:0])
    none.sum().backward()
    assert none.shape == (0,)


@pytest.mark.parametrize("kept", [1 << 25, 0])
def test_far_apart_logits_neither_overflow_nor_lose_the_target(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """log p_y of −400 nats, whose probability float32 can't hold, in both ways."""
    monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(module, "PIECE", 2 * module.ROWS)  # blocks of two words
    hidden, weight = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[0.0], [400.0], [390.0]])
    found = linear_logprobs(hidden, weight, torch.tensor([0]))
    torch.testing.assert_close(found, torch.log_softmax(hidden @ weight.T, -1)[:, 0])
    found.backward()
    torch.testing.assert_close(hidden.grad, torch.tensor([[-400.0]]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kept", [1 << 25, 0])
def test_products_in_bfloat16_round_logits_and_nothing_else(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are those of rounded logits to float32's precision; gradients are near float32's, and are float32."""
    monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(module, "PIECE", 16 * module.ROWS)  # blocks of 16 words
    draw = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 32, generator=draw).requires_grad_() for n in (600, 40))
    tokens, upstream = torch.randint(40, (600,), generator=draw), torch.randn(600, generator=draw)
    found = linear_logprobs(hidden, weight, tokens, half=True)
    rounded = (hidden.bfloat16() @ weight.bfloat16().T).float()
    torch.testing.assert_close(found, token_logprobs(rounded, tokens), atol=1e-5, rtol=1e-5)
    slopes = torch.autograd.grad(found, (hidden, weight), upstream)
    whole = torch.autograd.grad(linear_logprobs(hidden, weight, tokens), (hidden, weight), upstream)
    for slope, exact in zip(slopes, whole, strict=True):
        assert slope.dtype == torch.float32 and not torch.equal(slope, exact)
        assert (slope - exact).norm() < 0.02 * exact.norm()
