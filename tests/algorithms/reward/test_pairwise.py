"""The pairwise preference model by hand: Bradley-Terry's loss on texts that hold both answers, in both orders."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from heedful.algorithms.reward.bradley_terry import bradley_terry_objective
from heedful.batches import PackedBatch
from heedful.data.chat import Chat
from heedful.data.pairs import pack_pairs
from heedful.data.side_by_side import both_orders
from heedful.records import Message, Prompt, Ranking

BY: dict[str, Any] = {"rater": "r", "rater_kind": "human"}
SAID = {("good", "bad"): 1.2, ("bad", "good"): 0.4}  # f, read off the text


class Reads:
    """A chat whose tokens say which answer stands first."""

    def prompt_ids(self, messages: Any) -> tuple[int, ...]:
        text = messages[0].content
        return (0, 1 if text.index("good") < text.index("bad") else 2)


class Judge(nn.Module):
    def forward(self, batch: PackedBatch) -> Tensor:
        first = batch.input_ids[batch.ends]
        return torch.where(first == 1, SAID["good", "bad"], SAID["bad", "good"])


@pytest.mark.parametrize(
    ("ranks", "completions", "loss"),
    [
        ((0, 1), ("good", "bad"), 0.3711),  # f(good, bad) − f(bad, good) = .8: −log σ(.8)
        ((0, 1), ("bad", "good"), 1.1711),  # the opposite judgement: −log σ(−.8)
        ((0, 0), ("good", "bad"), 0.7711),  # a tie: the mean of the two
    ],
)
def test_by_hand(ranks: tuple[int, int], completions: tuple[str, str], loss: float) -> None:
    prompt = Prompt(id="p", messages=(Message("user", "Which?"),))
    ranking = Ranking(prompt=prompt, completions=completions, ranks=ranks, weight=2.0, **BY)
    output = bradley_terry_objective()(Judge(), pack_pairs([both_orders(cast(Chat, Reads()), ranking)]))
    assert output.count.item() == 2.0
    assert output.loss.item() == pytest.approx(2.0 * loss, abs=2e-4)
