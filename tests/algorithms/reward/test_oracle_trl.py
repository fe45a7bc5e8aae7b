"""TRL's reward trainer and ours say the same loss of the same scores."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.algorithms.reward.bradley_terry import bradley_terry_loss


def trl_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | None, centering: float | None) -> float:
    """The trainer's own `compute_loss` on a model whose scores are given."""
    kind = pytest.importorskip("trl.trainer.reward_trainer").RewardTrainer
    trainer = kind.__new__(kind)
    same = SimpleNamespace(gather=lambda value: value, gather_for_metrics=lambda value: value)
    trainer.model, trainer.accelerator = SimpleNamespace(training=False), same
    trainer.args = SimpleNamespace(center_rewards_coefficient=centering)
    trainer._metrics, trainer._total_train_tokens = {"eval": defaultdict(list)}, 0
    logits = torch.cat([chosen, rejected])[:, None]
    inputs: dict[str, Any] = {} if margin is None else {"margin": margin}

    def model(**_: Any) -> Any:
        return SimpleNamespace(logits=logits)

    return float(trainer.compute_loss(model, inputs))


@pytest.mark.parametrize("centering", [None, 0.01])
@pytest.mark.parametrize("margins", [False, True])
def test_bradley_terry_with_margins_and_centering_is_trls(margins: bool, centering: float | None) -> None:
    draw = torch.Generator().manual_seed(0)
    chosen, rejected, margin = torch.randn(3, 7, generator=draw)
    ours = bradley_terry_loss(
        chosen,
        rejected,
        target=torch.ones(7),
        margin=margin if margins else torch.zeros(7),
        weight=torch.ones(7),
        centering=centering or 0.0,
    )
    theirs = trl_loss(chosen, rejected, margin if margins else None, centering)
    assert (ours.loss / ours.count).item() == pytest.approx(theirs, abs=1e-6)
