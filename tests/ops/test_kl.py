"""The KL's sign and its estimators, by enumeration away from zero."""

from __future__ import annotations

import pytest
import torch

from heedful.ops.kl import exact_kl, k1, k2, k3

POLICY = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
REFERENCE = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
KL = 0.1838  # .7 ln(.7/.4) + .2 ln(.2/.4) + .1 ln(.1/.2)


def test_exact_kl_is_that_of_policy_from_reference() -> None:
    assert exact_kl(POLICY.log(), REFERENCE.log()).item() == pytest.approx(KL, abs=1e-4)
    assert exact_kl(REFERENCE.log(), POLICY.log()).item() == pytest.approx(0.1920, abs=1e-4)  # the other way round


@pytest.mark.parametrize("estimator", [k1, k3])
def test_unbiased_estimators_expect_the_exact_kl(estimator) -> None:
    expected = (POLICY * estimator(POLICY.log() - REFERENCE.log())).sum()
    assert expected.item() == pytest.approx(KL, abs=1e-4)


def test_k2_is_half_the_squared_log_ratio() -> None:
    assert k2(torch.tensor([0.6, -0.2])).tolist() == pytest.approx([0.18, 0.02])


def test_k1_alone_can_be_negative_and_k3_never_is() -> None:
    log_ratio = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert (k1(log_ratio) < 0).any()
    assert (k3(log_ratio) >= 0).all()


def test_penalty_in_the_reward_has_the_gradient_of_the_kl() -> None:
    """E[k1 · ∇log π] = ∇KL: what makes k1 the one to put in the reward. The expectation is enumerated."""
    logits = POLICY.log().clone().requires_grad_()
    kl = exact_kl(torch.log_softmax(logits, -1), REFERENCE.log())
    (exact,) = torch.autograd.grad(kl, logits)
    log_p = torch.log_softmax(logits, -1)
    surrogate = (POLICY * k1(POLICY.log() - REFERENCE.log()) * log_p).sum()
    (estimated,) = torch.autograd.grad(surrogate, logits)
    assert estimated.tolist() == pytest.approx(exact.tolist(), abs=1e-9)
    assert exact[0] > 0  # more of what the policy already has too much of means more KL


def test_many_rows_at_once() -> None:
    rows = exact_kl(torch.stack([POLICY, REFERENCE]).log(), torch.stack([REFERENCE, REFERENCE]).log())
    assert rows.tolist() == pytest.approx([KL, 0.0], abs=1e-4)
