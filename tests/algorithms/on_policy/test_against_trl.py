"""The same tensors through TRL's trainers: loss and gradient agree to 1e-5."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.algorithms.on_policy.critic_free import critic_free_loss
from heedful.batches import GroupBatch, TextBatch
from heedful.config.rl import CISPO, DAPO, GRPO, GSPO, RLOO, SAPO, DrGRPO, PolicyGradient
from heedful.data.packing import Example, pack
from heedful.ops.advantages import leave_one_out, standardised

pytest.importorskip("trl")

LENGTHS, LIMIT = [4, 1, 3, 6], 6
REAL = torch.arange(LIMIT)[None, :] < torch.tensor(LENGTHS)[:, None]  # TRL's mask


class Alone:
    """An accelerator of one process."""

    num_processes = 1
    sync_gradients = True

    def gather(self, value: Tensor) -> Tensor:
        return value

    def reduce(self, value: Tensor, reduction: str = "sum") -> Tensor:
        return value


def tensors(spread: float) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    new = (-2 * torch.rand(sum(LENGTHS), generator=draw) - 0.1).requires_grad_()
    old = new.detach() + spread * torch.randn(sum(LENGTHS), generator=draw)
    reference = new.detach() + 0.5 * torch.randn(sum(LENGTHS), generator=draw)
    return {"new": new, "old": old, "reference": reference, "advantages": torch.tensor([0.9, -1.2, 0.4, -0.1])}


def padded(flat: Tensor) -> Tensor:
    """(N,) as TRL's (B, T)."""
    return torch.zeros(REAL.shape).masked_scatter(REAL, flat)


def trainer(**settings: Any) -> Any:
    """What the loss reads of a trainer."""
    defaults = SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, beta=0.0, use_vllm=False,
        importance_sampling_level="token", epsilon_low=0.2, epsilon_high=0.2, loss_type="grpo",
        model=SimpleNamespace(training=True), current_gradient_accumulation_steps=1, accelerator=Alone(),
        max_completion_length=LIMIT, _entropy_bonus_enabled=False, _metrics=defaultdict(lambda: defaultdict(list)),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
    )  # fmt: skip
    return SimpleNamespace(**(vars(defaults) | settings))


def theirs(kind: Any, made: dict[str, Tensor], who: Any) -> Tensor:
    zeros = torch.zeros(len(LENGTHS), 1)
    who._get_per_token_logps_and_entropies = lambda *_, **__: (padded(made["new"]), torch.zeros(REAL.shape), None)
    inputs = {
        "prompt_ids": zeros, "prompt_mask": zeros, "completion_ids": torch.zeros(REAL.shape),
        "completion_mask": REAL.float(), "advantages": made["advantages"],
        "old_per_token_logps": padded(made["old"]), "ref_per_token_logps": padded(made["reference"]),
        "old_logps": padded(made["old"]).sum(1), "num_items_in_batch": torch.tensor(float(sum(LENGTHS))),
    }  # fmt: skip
    loss: Tensor = kind._compute_loss(who, None, inputs)
    return loss


def ours(algorithm: PolicyGradient, made: dict[str, Tensor], beta: float) -> Tensor:
    packed = pack([Example(tuple(range(n + 1))) for n in LENGTHS])
    spread = torch.repeat_interleave(made["advantages"], torch.tensor(LENGTHS))
    text = TextBatch(pack([]), torch.tensor(0.0))
    batch = GroupBatch(
        packed, made["old"], made["reference"], spread, torch.ones_like(spread), torch.tensor(beta), text
    )
    output = critic_free_loss(made["new"], torch.zeros(0), torch.zeros(0), batch, algorithm, limit=LIMIT)
    return output.loss / output.count


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.4])
@pytest.mark.parametrize(
    ("algorithm", "beta", "settings"),
    [
        (GRPO(), 0.04, {"beta": 0.04}),
        (DrGRPO(), 0.0, {"loss_type": "dr_grpo"}),
        (DAPO(), 0.0, {"loss_type": "dapo", "epsilon_high": 0.28}),
        (
            GSPO(),
            0.0,
            {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
        ),
        (CISPO(), 0.1, {"loss_type": "cispo", "epsilon_high": 5.0, "beta": 0.1}),
        (CISPO(clip_high=1.1), 0.0, {"loss_type": "cispo", "epsilon_high": 1.1}),
        (GRPO(penalty="k3_weighted"), 0.1, {"beta": 0.1, "corrected": True}),
        (SAPO(), 0.0, {"loss_type": "sapo"}),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_losses_are_trls(algorithm: PolicyGradient, beta: float, settings: dict[str, Any], spread: float) -> None:
    from trl import GRPOTrainer

    made = tensors(spread)
    who = trainer(**{key: value for key, value in settings.items() if key != "corrected"})
    who.args.use_bias_correction_kl = settings.get("corrected", False)
    who.args.sapo_temperature_pos, who.args.sapo_temperature_neg = 1.0, 1.05
    one, other = ours(algorithm, made, beta), theirs(GRPOTrainer, made, who)
    assert one.item() == pytest.approx(other.item(), abs=1e-5)
    gradients = [torch.autograd.grad(loss, made["new"], retain_graph=True)[0] for loss in (one, other)]
    assert torch.allclose(*gradients, atol=1e-5)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.4])
def test_rloo_is_trls(spread: float) -> None:
    from trl import RLOOTrainer

    made = tensors(spread)
    one, other = ours(RLOO(), made, 0.0), theirs(RLOOTrainer, made, trainer())
    assert one.item() == pytest.approx(other.item(), abs=1e-5)
    gradients = [torch.autograd.grad(loss, made["new"], retain_graph=True)[0] for loss in (one, other)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_advantages_are_trls() -> None:
    """Its own lines: group mean and `nanstd` + 1e-4; the mean of the others."""
    from trl.trainer.utils import nanstd

    rewards = torch.tensor([[1.0, 0.5, -2.0, 0.1], [3.0, 3.0, 3.0, 3.1]])
    groups = torch.arange(2).repeat_interleave(4)
    theirs = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    assert torch.allclose(standardised(rewards.flatten(), groups), theirs.flatten(), atol=1e-5)
    others = (rewards.sum(1, keepdim=True) - rewards) / 3
    assert torch.allclose(leave_one_out(rewards.flatten(), groups), (rewards - others).flatten(), atol=1e-6)
