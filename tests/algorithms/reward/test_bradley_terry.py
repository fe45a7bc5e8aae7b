"""Bradley-Terry: hand-worked values, laws, and the gradient's direction."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import agreement, bradley_terry_loss, bradley_terry_objective
from heedful.batches import LossOutput, PackedBatch, PairBatch


def loss(
    chosen: list[float] | Tensor,
    rejected: list[float] | Tensor,
    target: float = 1.0,
    margin: float = 0.0,
    weight: float = 1.0,
    centering: float = 0.0,
) -> LossOutput:
    c, r = torch.as_tensor(chosen), torch.as_tensor(rejected)
    return bradley_terry_loss(
        c,
        r,
        target=torch.full_like(c, target).detach(),
        margin=torch.full_like(c, margin).detach(),
        weight=torch.full_like(c, weight).detach(),
        centering=centering,
    )


def test_equal_scores_cost_ln_2() -> None:
    assert loss([0.0], [0.0]).loss.item() == pytest.approx(0.6931, abs=1e-4)


def test_hand_worked_pair_and_gradient() -> None:
    chosen, rejected = torch.tensor([1.2], requires_grad=True), torch.tensor([0.4], requires_grad=True)
    out = loss(chosen, rejected)
    assert out.loss.item() == pytest.approx(0.371, abs=5e-4)
    out.loss.backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(-0.310, abs=5e-4)  # the chosen score is pushed up
    assert rejected.grad.item() == pytest.approx(+0.310, abs=5e-4)


def test_a_ranking_of_three_is_the_mean_of_its_pairs() -> None:
    out = loss([2.0, 2.0, 1.0], [1.0, 0.0, 0.0], weight=1 / 3)
    assert out.loss.item() == pytest.approx(0.251, abs=5e-4)
    assert out.count.item() == pytest.approx(1.0)


def test_only_differences_count() -> None:
    moved = loss([8.2, 4.0], [7.4, 8.0]).loss.item()
    assert loss([1.2, -3.0], [0.4, 1.0]).loss.item() == pytest.approx(moved, abs=1e-5)


def test_swapping_the_answers_swaps_the_label() -> None:
    assert loss([1.2], [0.4], target=1.0).loss.item() == pytest.approx(loss([0.4], [1.2], target=0.0).loss.item())


def test_swap_law_of_the_loss() -> None:
    # -log σ(Δ) + log σ(−Δ) = −Δ
    assert (loss([1.2], [0.4]).loss - loss([0.4], [1.2]).loss).item() == pytest.approx(-0.8, abs=1e-6)


def test_a_tie_at_equal_scores_costs_ln_2_and_pulls_scores_together() -> None:
    assert loss([0.7], [0.7], target=0.5).loss.item() == pytest.approx(log(2))
    chosen, rejected = torch.tensor([2.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    loss(chosen, rejected, target=0.5).loss.backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.item() > 0 > rejected.grad.item()


def test_a_margin_asks_for_more() -> None:
    assert loss([1.0], [0.0], margin=1.0).loss.item() == pytest.approx(log(2))
    assert loss([1.0], [0.0], margin=0.5).loss.item() > loss([1.0], [0.0]).loss.item()


def test_weights_scale_loss_and_count_alike() -> None:
    whole, half = loss([1.2], [0.4]), loss([1.2], [0.4], weight=0.5)
    assert half.loss.item() == pytest.approx(whole.loss.item() / 2)
    assert half.count.item() == pytest.approx(whole.count.item() / 2)


def test_centering_adds_the_squared_sum() -> None:
    out = loss([1.2], [0.4], weight=0.5, centering=0.01)
    assert out.loss.item() == pytest.approx(0.5 * (0.37110 + 0.01 * 1.6**2), abs=1e-4)


def test_extreme_scores_stay_finite() -> None:
    assert torch.isfinite(loss([-1e4], [1e4]).loss)
    assert torch.isfinite(loss([-1e4], [1e4], target=0.5).loss)


def test_metrics_are_weighted_sums() -> None:
    out = loss([1.0, 0.0, 2.0], [0.0, 1.0, 2.0], weight=0.5)
    assert out.metrics["reward/accuracy"].item() == pytest.approx(0.5 * (1 + 0 + 0.5))
    assert out.metrics["reward/margin"].item() == pytest.approx(0.5 * (1 - 1 + 0))


def test_a_tie_agrees_half_with_any_order() -> None:
    gap = torch.tensor([1.0, -1.0, 0.0])
    assert agreement(gap, torch.tensor([0.5, 0.5, 0.5])).tolist() == [0.5, 0.5, 0.5]
    assert agreement(gap, torch.tensor([1.0, 1.0, 1.0])).tolist() == [1.0, 0.0, 0.5]


class Scores(nn.Module):
    """Gives each sequence its own learnt number."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, batch: PackedBatch) -> Tensor:
        return self.values[: len(batch.lengths)]


def test_objective_reads_scores_through_the_pair_indices() -> None:
    none = torch.zeros(0, dtype=torch.long)
    packed = PackedBatch(none, none, torch.ones(3, dtype=torch.long), none, torch.zeros(3, dtype=torch.long))
    batch = PairBatch(
        packed,
        chosen=torch.tensor([2, 2, 0]),
        rejected=torch.tensor([0, 1, 1]),
        target=torch.ones(3),
        margin=torch.zeros(3),
        weight=torch.full((3,), 1 / 3),
    )
    out = bradley_terry_objective()(Scores([1.0, 0.0, 2.0]), batch)  # C > A > B scored 2, 1, 0
    assert out.loss.item() == pytest.approx(0.251, abs=5e-4)
    assert out.metrics["reward/accuracy"].item() == pytest.approx(1.0)
