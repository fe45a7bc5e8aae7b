"""DPO's loss against values worked by hand, and its fixed point against the closed form."""

from __future__ import annotations

from itertools import permutations
from math import log

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.direct.dpo import dpo_loss, dpo_objective
from heedful.batches import LossOutput, PackedBatch, PairBatch, PreferenceBatch
from heedful.data.packing import Example, pack


def loss_of(chosen: Tensor, rejected: Tensor, *, beta: float = 0.1, weight: float = 1.0) -> LossOutput:
    """With a reference that gives every answer log-probability −10."""
    reference = torch.full_like(chosen, -10.0)
    return dpo_loss(chosen, rejected, reference, reference, torch.full_like(chosen, weight), beta=beta)


def test_by_hand() -> None:
    """h = 7, β = .1: −log σ(.7) = .403, and the gradient weighs σ(−.7) = .332 (times β)."""
    chosen, rejected = torch.tensor([-5.0], requires_grad=True), torch.tensor([-12.0], requires_grad=True)
    output = loss_of(chosen, rejected)
    assert output.loss.item() == pytest.approx(0.403, abs=5e-4)
    up, down = torch.autograd.grad(output.loss, (chosen, rejected))
    assert up.item() == pytest.approx(-0.1 * 0.332, abs=5e-5)  # the chosen answer rises
    assert down.item() == pytest.approx(0.1 * 0.332, abs=5e-5)  # the rejected one falls


def test_starts_at_log_two_with_no_margin() -> None:
    same = torch.tensor([-10.0, -10.0])
    output = loss_of(same, same)
    assert output.loss.item() / 2 == pytest.approx(log(2))
    assert output.metrics["rewards/margin"].item() == 0
    assert output.metrics["rewards/accuracy"].item() == 1.0  # two pairs, each half right


def test_swapping_the_sides_mirrors_the_margin() -> None:
    a, b = torch.tensor([-7.0]), torch.tensor([-11.0])
    there, back = loss_of(a, b), loss_of(b, a)
    assert there.metrics["rewards/margin"].item() == pytest.approx(0.4)
    assert back.metrics["rewards/margin"].item() == pytest.approx(-0.4)
    assert back.loss.item() - there.loss.item() == pytest.approx(0.4, abs=1e-6)  # −log σ(−x) + log σ(x) = x


def test_only_the_difference_to_the_reference_counts() -> None:
    """A pair that the reference already has right by as much gives no reward."""
    policy = (torch.tensor([-5.0]), torch.tensor([-9.0]))
    output = dpo_loss(*policy, *policy, torch.ones(1), beta=0.1)
    assert output.loss.item() == pytest.approx(log(2))


def test_gradient_equals_finite_differences_and_lowers_the_loss() -> None:
    chosen = torch.tensor([-8.0, -9.5], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-10.5, -8.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, r: loss_of(c, r, beta=0.3).loss, (chosen, rejected))
    up, down = torch.autograd.grad(loss_of(chosen, rejected).loss, (chosen, rejected))
    stepped = loss_of(chosen - up, rejected - down).loss
    assert stepped < loss_of(chosen, rejected).loss
    assert abs(up[1]) > abs(up[0])  # the pair that is wrong pulls harder


def test_weights_and_metrics_are_sums() -> None:
    chosen, rejected = torch.tensor([-8.0, -12.0]), torch.tensor([-9.0, -10.0])
    output = loss_of(chosen, rejected, weight=0.5)
    assert output.count.item() == 1.0
    metrics = {name: value.item() for name, value in output.metrics.items()}
    assert metrics["rewards/chosen"] == pytest.approx(0.5 * 0.1 * (2 - 2))
    assert metrics["rewards/rejected"] == pytest.approx(0.5 * 0.1 * (1 + 0))
    assert metrics["rewards/accuracy"] == pytest.approx(0.5)
    assert metrics["logps/chosen"] == pytest.approx(0.5 * (2 - 2))
    assert metrics["logps/rejected"] == pytest.approx(0.5)


class Table(nn.Module):
    """A policy of free logits over single tokens."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, batch: PackedBatch) -> Tensor:
        return torch.log_softmax(self.logits, -1)[batch.target_ids]


def test_fixed_point_is_the_reference_tilted_by_the_reward() -> None:
    """Every pair in both orders, weighted by σ(r_i − r_j): π → π_ref exp(r/β)/Z, total variation below .02."""
    reference = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03]).log()
    rewards, beta = torch.tensor([-0.5, 0.2, 0.0, 0.6, 1.0, -1.0]), 0.5
    goal = (reference + rewards / beta).softmax(-1)
    pairs = torch.tensor(list(permutations(range(6), 2)))
    batch = PreferenceBatch(
        pairs=PairBatch(
            packed=pack([Example((0, token)) for token in range(6)]),
            chosen=pairs[:, 0],
            rejected=pairs[:, 1],
            target=torch.ones(30),
            margin=torch.zeros(30),
            weight=torch.sigmoid(rewards[pairs[:, 0]] - rewards[pairs[:, 1]]),
        ),
        reference=reference,
    )
    model, objective = Table(reference), dpo_objective(beta)
    assert objective(model, batch).loss.item() / 15 == pytest.approx(log(2), rel=1e-5)  # both orders weigh 1
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        output = objective(model, batch)
        (output.loss / output.count).backward()
        optimizer.step()
    assert 0.5 * (model.logits.detach().softmax(-1) - goal).abs().sum() < 0.02


def test_answers_count_by_the_sum_of_their_tokens() -> None:
    """Two tokens of log-probability −1 and −2 make an answer of −3, not of their mean."""

    class Fixed(nn.Module):
        def forward(self, batch: PackedBatch) -> Tensor:
            return torch.tensor([-1.0, -2.0, -0.5])

    packed = pack([Example((9, 1, 2), answer=1), Example((9, 3), answer=1)])
    one = torch.ones(1)
    pair = PairBatch(packed, torch.tensor([0]), torch.tensor([1]), one, 0 * one, one)
    output = dpo_objective(1.0)(Fixed(), PreferenceBatch(pair, torch.tensor([0.0, 0.0])))
    assert output.metrics["rewards/margin"].item() == pytest.approx(-3.0 + 0.5)
