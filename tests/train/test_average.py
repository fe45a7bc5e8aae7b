"""The running average of weights: by hand, in the model that is left, and across a stop."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from test_loop import metrics, train, weights

from heedful.errors import Stopped
from heedful.train.average import Average


def test_the_average_by_hand() -> None:
    """d = min(0.5, 1/10, 2/11): after w = 1 and w = 2 from 0, a = 0.9·1, then 0.9 + (1 − 2/11)·(2 − 0.9)."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
        average = Average(model, 0.5)
        for step, value in enumerate((1.0, 2.0)):
            model.weight.fill_(value)
            average.update(step)
    assert average.tensors["weight"].item() == pytest.approx(0.9 + 9 / 11 * 1.1)
    with average.shown():
        assert model.weight.item() == average.tensors["weight"].item()
    assert model.weight.item() == 2.0
    for step in range(2, 400):
        average.update(step)
    assert average.tensors["weight"].item() == pytest.approx(2.0)
    average.settle()
    assert model.weight.item() == average.tensors["weight"].item()


def test_late_averages_forget_at_the_given_rate() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.9)
    with torch.no_grad():
        average.tensors["weight"].fill_(0.0)
        model.weight.fill_(1.0)
    average.update(10_000)
    assert average.tensors["weight"].item() == pytest.approx(0.1)


def test_training_is_the_same_and_the_model_is_left_with_the_average(tmp_path: Path) -> None:
    plain, _, _ = train(tmp_path / "plain")
    averaged, _, _ = train(tmp_path / "averaged", ema=0.9)
    assert weights(tmp_path / "plain") == weights(tmp_path / "averaged")
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "averaged")
    (folder,) = (tmp_path / "averaged" / "checkpoints").glob("step-*")
    kept = load_file(folder / "average.safetensors")
    pairs = zip(averaged.named_parameters(), plain.parameters(), strict=True)
    assert all(torch.equal(kept[name], own) and not torch.equal(own, other) for (name, own), other in pairs)


def test_an_average_survives_stops(tmp_path: Path) -> None:
    whole, _, _ = train(tmp_path / "whole", ema=0.9)
    for at in (2, 5):
        with pytest.raises(Stopped):
            train(tmp_path / "broken", at, ema=0.9)
    again, _, _ = train(tmp_path / "broken", ema=0.9)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
