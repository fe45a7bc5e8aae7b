"""GAE against its definition, and whitening's moments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.ops.advantages import centred, differs, gae, last_tokens, leave_one_out, standardised, to_go, whiten


def brute_force(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """A_t = Σ_l (γλ)^l δ_{t+l} for one answer, as it is written in the paper."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * n - v for r, n, v in zip(rewards, following, values, strict=True)]
    return [sum((gamma * lam) ** k * d for k, d in enumerate(deltas[t:])) for t in range(len(deltas))]


def test_by_hand() -> None:
    """One answer of two tokens, reward 1 at its end, γ 1, λ ½: δ = (.3−.2, 1−.3), A_1 = .7, A_0 = .1 + ½·.7."""
    found = gae(torch.tensor([0.0, 1.0]), torch.tensor([0.2, 0.3]), torch.tensor([2]), gamma=1.0, lam=0.5)
    assert found.tolist() == pytest.approx([0.45, 0.7])


@settings(max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 2**31), st.sampled_from([1.0, 0.9]))
def test_equals_the_definition_inside_each_answer(lengths: list[int], seed: int, gamma: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    rewards = torch.randn(sum(lengths), generator=draw, dtype=torch.float64)
    values = torch.randn(sum(lengths), generator=draw, dtype=torch.float64)
    expected: list[float] = []
    for r, v in zip(rewards.split(lengths), values.split(lengths), strict=True):
        expected += brute_force(r.tolist(), v.tolist(), gamma, 0.95)
    found = gae(rewards, values, torch.tensor(lengths), gamma=gamma, lam=0.95)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_with_lambda_one_advantages_are_what_is_still_to_come_less_the_value() -> None:
    rewards, values = torch.tensor([0.1, 0.2, 0.3, 5.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = gae(rewards, values, torch.tensor([3, 1]), gamma=1.0, lam=1.0)
    assert found.tolist() == pytest.approx([0.6 - 1.0, 0.5 - 2.0, 0.3 - 3.0, 5.0 - 4.0])


def test_last_tokens() -> None:
    assert last_tokens(torch.tensor([2, 1, 3])).tolist() == [1, 2, 5]


def test_whitened_values_have_mean_zero_and_variance_one() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])  # mean 3, biased variance 3.5
    white = whiten(values)
    assert white.tolist() == pytest.approx([(v - 3.0) / 3.5**0.5 for v in values.tolist()], abs=1e-6)
    assert float(white.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(white.square().mean()) == pytest.approx(1.0, abs=1e-6)


def test_constant_values_whiten_to_nought() -> None:
    values = torch.full((5,), 2.0)
    assert whiten(values).tolist() == [0.0] * 5


def test_to_go_is_what_is_still_to_come_in_the_same_answer() -> None:
    assert to_go(torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([3, 1])).tolist() == [6.0, 5.0, 3.0, 10.0]


def test_groups_by_hand() -> None:
    """Groups (1, 2, 6) and (5, 5), interleaved and with numbers that mean nothing."""
    values, groups = torch.tensor([1.0, 5.0, 2.0, 5.0, 6.0]), torch.tensor([40, 7, 40, 7, 40])
    assert centred(values, groups).tolist() == [-2.0, 0.0, -1.0, 0.0, 3.0]
    assert leave_one_out(values, groups).tolist() == [-3.0, 0.0, -1.5, 0.0, 4.5]
    spread = 7.0**0.5  # √((4 + 1 + 9)/2)
    assert standardised(values, groups).tolist() == pytest.approx(
        [-2 / spread, 0, -1 / spread, 0, 3 / spread], abs=1e-3
    )
    assert differs(values, groups).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("value", [0.1, 7.3, 1234.567, -3e5])
def test_equal_values_do_not_differ_however_their_mean_is_rounded(value: float) -> None:
    values, groups = torch.full((3 * 7,), value), torch.arange(3 * 7) % 3
    values[groups == 2] = torch.nextafter(values[0], torch.tensor(torch.inf))
    assert not differs(values, groups).any()
    values[-1] = value  # one ulp away from the rest of its group
    assert torch.equal(differs(values, groups), groups == 2)


def test_leaving_one_out_is_centring_times_g_over_g_minus_one() -> None:
    values, groups = torch.randn(12, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    assert torch.allclose(leave_one_out(values, groups), centred(values, groups) * 4 / 3, atol=1e-6)


def test_an_answer_alone_has_no_advantage_over_itself() -> None:
    alone = torch.tensor([3.0]), torch.tensor([0])
    assert centred(*alone).tolist() == standardised(*alone).tolist() == [0.0]
