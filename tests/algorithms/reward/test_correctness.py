"""Outcome and process labels: hand-worked values, the usual cross-entropy, and the weight of an answer."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.reward.correctness import correctness_loss, outcome_objective, process_objective
from heedful.batches import LossOutput, PackedBatch
from heedful.data.packing import Example
from heedful.data.steps import LabelledExample, pack_correctness, up_to_first_error


def loss(z: list[float] | Tensor, labels: list[float], weight: list[float] | None = None) -> LossOutput:
    return correctness_loss(torch.as_tensor(z), torch.tensor(labels), torch.tensor(weight or [1.0] * len(labels)))


def test_nothing_known_costs_ln_2_and_one_logit_by_hand() -> None:
    assert loss([0.0, 0.0], [1.0, 0.0]).loss.item() == pytest.approx(2 * log(2))
    assert loss([1.5], [1.0]).loss.item() == pytest.approx(log(1 + exp(-1.5)))
    assert loss([1.5], [0.0]).loss.item() == pytest.approx(log(1 + exp(1.5)))
    assert loss([1.5], [0.25]).loss.item() == pytest.approx(0.25 * log(1 + exp(-1.5)) + 0.75 * log(1 + exp(1.5)))


def test_gradient_is_the_error_and_lifts_what_is_right() -> None:
    z = torch.tensor([1.5, 1.5], requires_grad=True)
    loss(z, [1.0, 0.0], [1.0, 0.5]).loss.backward()
    p = 1 / (1 + exp(-1.5))
    assert z.grad is not None and z.grad.tolist() == pytest.approx([p - 1, 0.5 * p])


def test_swapping_right_and_wrong_turns_the_sign() -> None:
    assert loss([0.7], [0.9]).loss.item() == pytest.approx(loss([-0.7], [0.1]).loss.item(), abs=1e-6)


def test_accuracy_counts_by_weight_and_extremes_stay_finite() -> None:
    out = loss([2.0, -2.0, 2.0], [1.0, 1.0, 0.0], [0.5, 0.25, 0.25])
    assert out.count.item() == 1.0 and out.metrics["reward/accuracy"].item() == pytest.approx(0.5)
    assert torch.isfinite(loss([1e4, -1e4], [0.0, 1.0]).loss)


class ByToken(nn.Module):
    """The logits at a position are those of the token that stands there."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, batch: PackedBatch, at: Tensor) -> Tensor:
        return self.table[batch.input_ids[at]]


ITEMS = [
    LabelledExample(Example((0, 1, 2, 3), 1), (1, 3), (1.0, 0.0)),
    LabelledExample(Example((0, 4), 1), (1,), (1.0,)),
]


def test_a_process_head_is_the_usual_cross_entropy_each_answer_weighing_one() -> None:
    table = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    out = process_objective(ByToken(table), pack_correctness(ITEMS))
    cross = nn.functional.cross_entropy(table[[1, 3, 4]], torch.tensor([1, 0, 1]), reduction="none")
    assert out.loss.item() == pytest.approx(((cross[0] + cross[1]) / 2 + cross[2]).item(), abs=1e-6)
    assert out.count.item() == pytest.approx(2.0)


def test_a_step_in_parts_is_the_whole_step() -> None:
    model = ByToken(torch.randn(5, 1, generator=torch.Generator().manual_seed(1)))
    whole = outcome_objective(model, pack_correctness(ITEMS))
    parts = [outcome_objective(model, pack_correctness([item])) for item in ITEMS]
    assert whole.loss.item() == pytest.approx(sum(part.loss.item() for part in parts), abs=1e-6)


def test_learning_may_end_at_the_first_error() -> None:
    assert up_to_first_error((1.0, 0.0, 1.0)) == 2
    assert up_to_first_error((1.0, 0.5, 0.9)) == 3 and up_to_first_error((0.0,)) == 1
