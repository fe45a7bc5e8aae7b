"""Truncated importance weights: values by hand, and the expectation that they are there for."""

from __future__ import annotations

import pytest
import torch

from heedful.ops.importance import truncated_importance


def test_values_by_hand() -> None:
    trainer, sampler = torch.tensor([0.5, 0.2, 0.9]).log(), torch.tensor([0.5, 0.4, 0.1]).log()
    torch.testing.assert_close(truncated_importance(trainer, sampler, 2.0), torch.tensor([1.0, 0.5, 2.0]))


def test_without_a_cap_every_weight_is_one() -> None:
    assert truncated_importance(torch.tensor([-1.0, -9.0]), torch.tensor([-2.0, 0.0]), 0.0).tolist() == [1.0, 1.0]


def test_samples_of_one_policy_give_the_others_expectation() -> None:
    sampler, trainer = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.25, 0.25, 0.4, 0.1])
    values = torch.tensor([3.0, -1.0, 0.5, 2.0])
    weights = truncated_importance(trainer.log(), sampler.log(), 1e9)
    torch.testing.assert_close((sampler * weights * values).sum(), (trainer * values).sum())


def test_the_weight_is_a_constant_to_the_gradient() -> None:
    trainer = torch.tensor([-1.0, -2.0], requires_grad=True)
    assert not truncated_importance(trainer, torch.tensor([-1.5, -1.0]), 2.0).requires_grad


@pytest.mark.parametrize("cap", [0.5, float("nan")])
def test_a_cap_below_one_is_refused(cap: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        truncated_importance(torch.zeros(1), torch.zeros(1), cap)
