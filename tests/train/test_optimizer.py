"""AdamW over named groups: each with its own rate, gains with a multiple of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from heedful.config import Optim
from heedful.train.optimizer import Optimizer


def moved(optim: Optim) -> tuple[float, float]:
    """How far one update moves a weight and a bias. Adam's first step is the rate itself, whatever the gradient."""
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = Optimizer(layer, {"": optim})
    layer.weight.grad, layer.bias.grad = torch.full((2, 2), 10.0), torch.full((2,), 10.0)
    optimizer.step(0, 10)
    pairs = zip(before, (layer.weight, layer.bias), strict=True)
    matrix, vector = (float((then - now).detach().abs().max()) for then, now in pairs)
    return matrix, vector


def test_gains_and_biases_move_at_a_multiple_of_the_rate() -> None:
    assert moved(Optim(lr=1e-3)) == pytest.approx((1e-3, 1e-3), rel=1e-3)
    assert moved(Optim(lr=1e-3, gain_rate=30)) == pytest.approx((1e-3, 3e-2), rel=1e-3)


def test_a_group_is_named_by_the_longest_fitting_beginning() -> None:
    model = nn.ModuleDict({"policy": nn.Linear(2, 2), "critic": nn.Linear(2, 2)})
    optimizer = Optimizer(model, {"": Optim(lr=1e-3), "critic": Optim(lr=1e-2)})
    optimizer.step(0, 10)
    assert optimizer.rates == {"": 1e-3, "critic": 1e-2}
    with pytest.raises(ValueError, match=r"no optimizer settings for parameter policy\.weight"):
        Optimizer(model, {"critic": Optim(lr=1e-2)})
