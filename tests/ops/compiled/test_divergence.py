"""Rows of logits read by compiled code: double precision's values, exact where both models are one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.ops import logprobs
from heedful.ops.compiled.divergence import can_read, divergence_of_rows
from heedful.ops.logprobs import chunked_divergence


def exactly(p: Tensor, q: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """In double precision, by the definitions."""
    log_p, log_q = (torch.log_softmax(logits.double() / temperature, -1) for logits in (p, q))
    chosen = tokens[:, None]
    entropy, kl = -(log_p.exp() * log_p).sum(-1), (log_p.exp() * (log_p - log_q)).sum(-1)
    return torch.stack([log_p.gather(1, chosen)[:, 0], entropy, log_q.gather(1, chosen)[:, 0], kl], 1)


def drawn(rows: int, vocabulary: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    p = 5 * torch.randn(rows, vocabulary, generator=generator) + 30
    q = p + torch.randn(rows, vocabulary, generator=generator)
    return p.to(dtype), q.to(dtype), torch.randint(0, vocabulary, (rows,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 1), (3, 31), (40, 4096)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_rows_say_what_double_precision_says(
    rows: int, vocabulary: int, dtype: torch.dtype, temperature: float
) -> None:
    p, q, tokens = drawn(rows, vocabulary, dtype)
    found = divergence_of_rows(p, q, tokens, temperature).double()
    torch.testing.assert_close(found, exactly(p, q, tokens, temperature), atol=2e-5, rtol=2e-6)


def test_a_model_is_nowhere_from_itself() -> None:
    """At step zero the policy is the reference, and nothing may seem to have moved."""
    p, _, tokens = drawn(20, 999, torch.float32)
    found = divergence_of_rows(p, p.clone(), tokens, 1.0)
    assert torch.equal(found[:, 3], torch.zeros(20))
    assert torch.equal(found[:, 0], found[:, 2])


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_no_number_stays_none(which: int) -> None:
    logits = [*drawn(2, 50, torch.float32)[:2]]
    logits[which][1, 17] = torch.nan
    found = divergence_of_rows(*logits, torch.tensor([3, 4]), 1.0)
    assert found[0].isfinite().all()
    assert found[1, 3].isnan()


@pytest.mark.parametrize("token", [-1, 50])
def test_a_token_without_a_column_is_refused(token: int) -> None:
    p, q, _ = drawn(2, 50, torch.float32)
    with pytest.raises(IndexError, match="50 columns"):
        divergence_of_rows(p, q, torch.tensor([3, token]), 1.0)


def test_other_vocabularies_and_kinds_are_not_read_here() -> None:
    p, q, _ = drawn(2, 50, torch.float32)
    assert can_read(p, q)
    assert not any(can_read(p, other) for other in (q[:, :40], q.to(torch.bfloat16), q.to("meta")))
    assert not can_read(p.double(), q.double())


def test_torchs_operations_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """They read what lies on a card, or in other kinds of numbers."""
    p, q, tokens = drawn(30, 77, torch.float32)
    ways = []
    for able in (True, False):
        monkeypatch.setattr(logprobs, "can_read", lambda *_, able=able: able)
        ways.append(chunked_divergence(p, torch.clone, q, torch.clone, tokens, vocabulary=77, temperature=0.7))
    for name in ("logprobs", "entropy", "other_logprobs", "kl"):
        torch.testing.assert_close(*(getattr(way, name) for way in ways), atol=2e-5, rtol=1e-5)
