"""Next-token loss by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.lm import lm_objective, next_token_loss
from heedful.batches import PackedBatch
from heedful.data.packing import Example, pack


def test_loss_is_the_sum_of_negative_log_probabilities() -> None:
    logprobs = torch.tensor([log(0.5), log(0.25), log(1.0)], requires_grad=True)
    output = next_token_loss(logprobs)
    assert output.loss.item() == pytest.approx(log(8))  # −ln ½ − ln ¼ − ln 1
    assert output.count.item() == 3
    output.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1.0, -1.0, -1.0]


def test_any_split_of_a_step_gives_the_same_sums() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -4.0])
    whole, parts = next_token_loss(logprobs), [next_token_loss(part) for part in torch.split(logprobs, [2, 1])]
    assert whole.loss == sum(part.loss for part in parts)
    assert whole.count == sum(part.count for part in parts)


def test_objective_asks_the_model_for_the_targets() -> None:
    class Even(nn.Module):
        def forward(self, batch: PackedBatch) -> Tensor:
            return torch.full((len(batch.targets),), -log(2))

    output = lm_objective(Even(), pack([Example((1, 2, 3, 4), answer=2), Example((5, 6), answer=1)]))
    assert output.loss.item() == pytest.approx(3 * log(2))  # tokens 3, 4 and 6
    assert output.count.item() == 3
