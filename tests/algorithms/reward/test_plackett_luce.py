"""Plackett-Luce: hand-worked values, Bradley-Terry as its case of two, ties by enumeration, gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import exp, log

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import bradley_terry_loss
from heedful.algorithms.reward.plackett_luce import plackett_luce_loss, plackett_luce_objective
from heedful.batches import PackedBatch
from heedful.data.choices import choices_of, choose_examples, pack_choices
from heedful.data.packing import Example
from heedful.data.pairs import rank_examples
from heedful.errors import InputError
from heedful.records import Messages, Prompt, Ranking


class Letters:
    """Every character is a token."""

    def example(self, messages: Messages, completion: str) -> Example:
        return Example((1, *map(ord, completion)), 1)


def ranking(*ranks: int) -> Ranking:
    texts = tuple("abcdefghijkl"[: len(ranks)])
    return Ranking(
        prompt=Prompt(id="p", messages=()), completions=texts, ranks=ranks, rater="r", rater_kind="simulated"
    )


def loss(scores: Sequence[float] | Tensor, *rankings: Ranking) -> Tensor:
    batch = pack_choices([choose_examples(rank_examples(Letters(), rankings), rankings)])
    return plackett_luce_loss(
        torch.as_tensor(scores), member=batch.member, choice=batch.choice, target=batch.target, weight=batch.weight
    )


def by_hand(scores: Sequence[float], order: Sequence[int]) -> float:
    """−log P of one order, from the definition."""
    left = [exp(scores[i]) for i in order]
    return -sum(log(left[k] / sum(left[k:])) for k in range(len(order)))


def test_hand_worked_ranking_of_three() -> None:
    assert loss([2.0, 1.0, 0.0], ranking(0, 1, 2)).item() == pytest.approx(0.721, abs=5e-4)
    assert loss([2.0, 1.0, 0.0], ranking(2, 1, 0)).item() == pytest.approx(by_hand([2, 1, 0], [2, 1, 0]), abs=1e-5)


@pytest.mark.parametrize("tie", [False, True])
def test_two_answers_make_it_bradley_terry(tie: bool) -> None:
    one = torch.ones(1)
    bt = bradley_terry_loss(
        torch.tensor([1.2]), torch.tensor([0.4]), target=one * (0.5 if tie else 1), margin=one * 0, weight=one
    )
    assert loss([1.2, 0.4], ranking(0, 0 if tie else 1)).item() == pytest.approx(bt.loss.item(), abs=1e-6)


@pytest.mark.parametrize("ranks", [(0, 0, 1), (0, 1, 1), (0, 0, 0), (1, 0, 1, 0, 2), (0, 1, 1, 1, 2)])
def test_a_tie_is_the_mean_over_the_orders_that_break_it(ranks: tuple[int, ...]) -> None:
    scores = [0.3, -1.0, 0.8, 1.9, 0.1][: len(ranks)]
    orders = [o for o in permutations(range(len(ranks))) if [ranks[i] for i in o] == sorted(ranks)]
    mean = sum(by_hand(scores, order) for order in orders) / len(orders)
    assert loss(scores, ranking(*ranks)).item() == pytest.approx(mean, abs=1e-5)


def test_only_differences_count_and_extremes_stay_finite() -> None:
    scores = torch.tensor([0.5, -1.0, 2.0, 0.0])
    moved, still = loss(scores + 7, ranking(2, 0, 1, 3)), loss(scores, ranking(2, 0, 1, 3))
    assert moved.item() == pytest.approx(still.item(), abs=1e-5)
    assert torch.isfinite(loss([-1e4, 0.0, 1e4], ranking(0, 1, 2)))


def test_several_raters_are_their_mean() -> None:
    scores = [0.3, -1.0, 0.8]
    apart = [loss(scores, ranking(*ranks)).item() for ranks in ((0, 1, 2), (2, 1, 0))]
    assert loss(scores, ranking(0, 1, 2), ranking(2, 1, 0)).item() == pytest.approx(sum(apart) / 2, abs=1e-6)


def test_gradient_is_that_of_finite_differences_and_lifts_the_best() -> None:
    scores = torch.tensor([0.3, -1.0, 0.8, 0.2], dtype=torch.float64, requires_grad=True)
    ranked = ranking(1, 0, 2, 1)
    loss(scores, ranked).backward()
    assert scores.grad is not None
    for i in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = 1e-5
        with torch.no_grad():
            slope = (loss(scores + step, ranked) - loss(scores - step, ranked)) / 2e-5
        assert scores.grad[i].item() == pytest.approx(slope.item(), abs=1e-4)
    assert scores.grad[1] < 0 < scores.grad[2]


def test_orders_drawn_from_the_model_cost_least_at_its_own_scores() -> None:
    truth = torch.tensor([1.0, 0.0, -0.5])
    orders = list(permutations(range(3)))
    chance = torch.tensor([exp(-by_hand(truth.tolist(), order)) for order in orders])
    assert chance.sum().item() == pytest.approx(1.0, abs=1e-6)
    scores = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for p, order in zip(chance, orders, strict=True):
            ranks = [order.index(i) for i in range(3)]
            total = total + p * loss(scores, ranking(*ranks))
        total.backward()
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = scores.detach()
    assert torch.allclose(found - found[1], truth, atol=1e-3)


class Scores(nn.Module):
    """Gives each sequence its own learnt number."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, batch: PackedBatch) -> Tensor:
        first = batch.ends - batch.lengths + 1
        return self.values[batch.input_ids[first + 1] - ord("a")]


def test_a_step_in_parts_is_the_whole_step_and_centering_is_added() -> None:
    rankings = [ranking(0, 1, 2), ranking(1, 0), ranking(0, 0, 1, 2)]
    items = [choose_examples(rank_examples(Letters(), [r]), [r]) for r in rankings]
    model, objective = Scores([0.5, 1.0, -1.0, 0.2]), plackett_luce_objective(0.1)
    whole = objective(model, pack_choices(items))
    parts = [objective(model, pack_choices([item])) for item in items]
    assert whole.count.item() == pytest.approx(3.0)
    for name in ("loss", "count"):
        assert getattr(whole, name).item() == pytest.approx(sum(getattr(p, name).item() for p in parts), abs=1e-5)
    assert whole.metrics["reward/accuracy"].item() == pytest.approx(2 / 3 + 1 + (0.5 + 4) / 6)
    bare = plackett_luce_objective()(model, pack_choices(items[1:2]))
    assert parts[1].loss.item() - bare.loss.item() == pytest.approx(0.1 * 1.5**2, abs=1e-5)


def test_ties_beyond_counting_are_refused() -> None:
    with pytest.raises(InputError, match="ties of at most 10"):
        list(choices_of([0] * 11))
