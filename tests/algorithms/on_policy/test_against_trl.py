"""The same tensors through TRL's trainers: loss and gradient agree to 1e-5."""

from __future__ import annotations

import inspect
import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.algorithms.on_policy.advantages import token_advantages
from heedful.algorithms.on_policy.critic_free import critic_free_loss
from heedful.algorithms.on_policy.duels import duel_loss, preference
from heedful.batches import DuelBatch, GroupBatch, PairBatch, Rollout, TextBatch
from heedful.config.rewards import Rewards
from heedful.config.rl import CISPO, DAPO, GRPO, GSPO, RLOO, SAPO, DrGRPO, PolicyGradient
from heedful.data.packing import Example, pack
from heedful.ops.advantages import leave_one_out, standardised
from heedful.ops.logprobs import sequence_sums
from heedful.records import Message, Prompt
from heedful.rewards import Score
from heedful.rewards.build import paid
from heedful.rewards.combined import CombinedReward, Part

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


def run_lines(function: Callable[..., Any], after: str, before: str, given: dict[str, Any]) -> dict[str, Any]:
    """What TRL's own lines between two others make of these names, where they stand in the midst of a long function."""
    lines = inspect.getsource(function).splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(after)) + 1
    end = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(before))
    names = dict(given)
    exec(textwrap.dedent("\n".join(lines[start:end])), names)
    return names


@pytest.mark.parametrize("beta", [0.03, 0.5])
def test_rloos_advantages_with_the_kl_in_the_reward_are_trls(beta: float) -> None:
    from trl import RLOOTrainer
    from trl.trainer.utils import nanstd

    made, scores = tensors(0.0), torch.tensor([1.0, 0.5, -2.0, 0.1])
    who = SimpleNamespace(beta=beta, reward_clip_range=None)
    given = {
        "self": who, "rewards": scores, "num_generations": 2, "torch": torch, "nanstd": nanstd,
        "gather": lambda value: value, "completion_mask": REAL.float(),
        "old_per_token_logps": padded(made["old"]), "ref_per_token_logps": padded(made["reference"]),
    }  # fmt: skip
    trainers = RLOOTrainer._generate_and_score_completions
    expected = run_lines(trainers, "# Include the KL penalty", "# Normalize advantages", given)["advantages"]
    packed = pack([Example(tuple(range(n + 1))) for n in LENGTHS])
    rollout = Rollout(packed, made["old"], made["reference"], scores, torch.tensor([0, 0, 1, 1]))
    found = token_advantages(RLOO(), rollout, beta=beta)
    lengths = torch.tensor(LENGTHS)
    assert torch.allclose(found, torch.repeat_interleave(expected.detach(), lengths), atol=1e-5)
    assert not torch.allclose(found, token_advantages(RLOO(), rollout, beta=0.0), atol=1e-2)


class Given:
    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def score(self, prompts: Any, completions: Any) -> list[Score]:
        return [Score(value) for value in self.values]


def test_parts_standardised_within_a_prompt_are_those_of_trls_gdpo() -> None:
    """Before its last step, which standardises over the batch what our algorithms standardise by themselves."""
    from trl import GRPOTrainer
    from trl.trainer.utils import nanstd

    rewards, weights = 5 * torch.rand(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 0.3])
    who = SimpleNamespace(reward_funcs=[0, 1], reward_weights=weights)
    given = {
        "self": who, "rewards_per_func": rewards, "num_generations": 3,
        "torch": torch, "nanstd": nanstd, "device": "cpu",
    }  # fmt: skip
    way = 'elif self.multi_objective_aggregation == "normalize_then_sum"'
    scored = GRPOTrainer._generate_and_score_completions
    expected = run_lines(scored, way, "rewards[unscorable_mask]", given)["rewards"]
    asked = [Prompt(id="p", messages=(Message("user", str(i // 3)),)) for i in range(6)]
    parts = {
        str(k): Part(Given(rewards[:, k].tolist()), weight=float(weights[k]), within_prompt=True) for k in range(2)
    }
    found = [score.value for score in CombinedReward(parts).score(asked, [""] * 6)]
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_price_of_an_overlong_answer_is_trls() -> None:
    from trl.rewards import get_soft_overlong_punishment

    lengths, rewards = [1, 80, 81, 90, 99, 100], Rewards(model="m", overlong=0.2, missing_eos_penalty=1.0)
    scores = [Score(0.0)] * len(lengths)
    expected = get_soft_overlong_punishment(100, 20)([[1] * n for n in lengths])
    found = paid(scores, lengths, [False] * len(lengths), rewards, limit=100)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert paid([Score(0.0)], [100], [True], rewards, limit=100).item() == -1.0


def test_online_dpo_on_hard_labels_is_trls() -> None:
    """Its whole training step: answers, log-probabilities and rewards are given; it finds the better ones itself."""
    from trl.experimental.online_dpo import OnlineDPOTrainer

    made, scores, losses = tensors(0.0), torch.tensor([0.3, 2.0, 1.0, -1.0]), []
    model = SimpleNamespace(train=lambda: None)
    who = SimpleNamespace(
        beta=0.1, ref_model=object(), eos_token_ids=[9], reward_funcs=[0], state=SimpleNamespace(global_step=1),
        args=SimpleNamespace(
            use_vllm=False, missing_eos_penalty=None, loss_type="sigmoid", torch_empty_cache_steps=None, optim="adam",
            n_gpu=1, gradient_accumulation_steps=1,
        ),
        stats=defaultdict(list), processing_class=SimpleNamespace(batch_decode=lambda ids, **_: [""] * len(ids)),
        accelerator=SimpleNamespace(gather_for_metrics=lambda value: value, backward=losses.append),
        _generate=lambda *_: (REAL, REAL, REAL.long(), REAL, None),
        _forward=lambda which, *_: padded(made["new" if which is model else "reference"]),
        _calculate_rewards_from_functions=lambda **_: scores.clone(),
    )  # fmt: skip
    OnlineDPOTrainer.training_step(who, model, {"prompt": ["p", "q"]})
    packed = pack([Example(tuple(range(n + 1))) for n in LENGTHS])
    one, two = torch.tensor([0, 1]), torch.tensor([2, 3])  # TRL lays second answers behind the first ones
    target = preference(scores[one], scores[two], "hard")
    assert target.tolist() == [0.0, 1.0]
    pairs = PairBatch(packed, one, two, target, torch.zeros(2), torch.ones(2))
    text, lengths = TextBatch(pack([]), torch.tensor(0.0)), torch.tensor(LENGTHS)
    answers, reference = (sequence_sums(made[name], lengths) for name in ("new", "reference"))
    batch = DuelBatch(pairs, reference, torch.zeros(4), torch.tensor(0.1), text)
    output = duel_loss(answers, torch.zeros(0), batch, alpha=0.0)
    mine = output.loss / output.count
    assert mine.item() == pytest.approx(losses[0].item(), abs=1e-6)
    gradients = [torch.autograd.grad(loss, made["new"], retain_graph=True)[0] for loss in (mine, losses[0])]
    assert torch.allclose(*gradients, atol=1e-6)
