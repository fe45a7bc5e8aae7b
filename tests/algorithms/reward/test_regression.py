"""Regression on ratings: by hand, what is not rated, gradient, and units."""

from __future__ import annotations

import math

import pytest
import torch

from heedful.algorithms.reward.regression import regression_loss
from heedful.data.packing import Example
from heedful.data.ratings import Criterion, RatedExample, criteria_of, pack_ratings, standardised
from heedful.errors import InputError
from heedful.records import Prompt, Rating

NONE = math.nan


def rating(**ratings: float) -> Rating:
    return Rating(prompt=Prompt(id="p", messages=()), completion="x", ratings=ratings)


def test_hand_worked_loss_and_gradient() -> None:
    scores = torch.tensor([[1.0, -1.0], [0.5, 3.0]], requires_grad=True)
    ratings, known = torch.tensor([[0.0, 1.0], [1.5, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    out = regression_loss(scores, ratings, known)
    assert out.loss.item() == pytest.approx((1 + 4) / 2 + 1)
    assert out.count.item() == 2.0
    assert out.metrics["reward/absolute_error"].item() == pytest.approx((1 + 2) / 2 + 1)
    out.loss.backward()
    assert scores.grad is not None and scores.grad.tolist() == [[1.0, -2.0], [-2.0, 0.0]]


def test_a_split_of_the_step_changes_nothing() -> None:
    items = [RatedExample(Example((1, 2)), (0.5, NONE)), RatedExample(Example((1,)), (1.0, -1.0))]
    scores = torch.tensor([[0.0, 5.0], [2.0, 0.0]])
    whole = pack_ratings(items)
    total = regression_loss(scores, whole.ratings, whole.known).loss.item()
    parts = 0.0
    for index, item in enumerate(items):
        part = pack_ratings([item])
        parts += regression_loss(scores[index : index + 1], part.ratings, part.known).loss.item()
    assert total == pytest.approx(parts) and total == pytest.approx(0.25 + (1 + 1) / 2)


def test_criteria_are_standardised_over_the_known_ratings() -> None:
    ratings = [rating(help=4.0, brief=1.0), rating(help=2.0), rating(help=0.0, brief=3.0)]
    criteria = criteria_of(ratings, {"help": 0.7})
    assert criteria == (Criterion("help", 2.0, pytest.approx((8 / 3) ** 0.5), 0.7), Criterion("brief", 2.0, 1.0, 0.0))
    first, second = standardised(ratings[0], criteria), standardised(ratings[1], criteria)
    assert first == pytest.approx((2 / (8 / 3) ** 0.5, -1.0)) and second[0] == 0.0 and math.isnan(second[1])
    assert [c.weight for c in criteria_of(ratings, {})] == [0.5, 0.5]


def test_a_criterion_that_never_varies_or_a_weight_for_none_is_refused() -> None:
    with pytest.raises(InputError, match="same rating for 'help' \\(4\\)"):
        criteria_of([rating(help=4.0), rating(help=4.0)], {})
    with pytest.raises(InputError, match="names 'hlep', which no rating has \\(there are: help\\)"):
        criteria_of([rating(help=4.0), rating(help=1.0)], {"hlep": 1.0})
