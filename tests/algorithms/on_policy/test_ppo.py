"""PPO's pure functions against values worked by hand, and its fixed point against the closed form."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from bandit import BETA, GOAL, NOTHING, REFERENCE, REWARDS, apart, single_tokens

from heedful.algorithms.on_policy.ppo import (
    clipped,
    ppo_advantages,
    ppo_loss,
    ppo_objective,
    token_rewards,
    value_loss,
)
from heedful.batches import PackedBatch, Rollout, RolloutBatch, TextBatch
from heedful.config.on_policy import PPOAlgorithm
from heedful.data.packing import Example, pack


def answers(lengths: list[int]) -> PackedBatch:
    """Prompts of one token, answers of these lengths."""
    return pack([Example(tuple(range(length + 1))) for length in lengths])


def rollout_of(policy: list[float], reference: list[float], scores: list[float]) -> Rollout:
    """Two answers, of two tokens and of one."""
    columns = (torch.tensor(part) for part in (policy, reference, scores))
    return Rollout(answers([2, 1]), *columns, torch.arange(2))


def batch_of(
    old_logprobs: Tensor, advantages: Tensor, old_values: Tensor, returns: Tensor, text_weight: float = 0.0
) -> RolloutBatch:
    return RolloutBatch(
        packed=answers([len(old_logprobs)]),
        old_logprobs=old_logprobs,
        old_values=old_values,
        advantages=advantages,
        returns=returns,
        importance=torch.ones_like(old_logprobs),
        text=TextBatch(NOTHING, torch.tensor(text_weight)),
    )


def test_score_is_paid_at_the_last_token_and_distance_costs_at_every_token() -> None:
    rollout = rollout_of([-1.0, -2.0, -3.0], [-1.5, -1.0, -3.0], [2.0, -1.0])
    # −β(log π − log ref) = −.1·.5, −.1·(−1) + 2, 0 − 1
    assert token_rewards(rollout, beta=0.1).tolist() == pytest.approx([-0.05, 2.1, -1.0])


def test_returns_are_advantages_plus_values() -> None:
    rollout = rollout_of([-1.0, -2.0, -3.0], [-1.5, -1.0, -3.0], [2.0, -1.0])
    made = ppo_advantages(rollout, torch.tensor([0.3, 0.4, 0.5]), beta=0.1, gamma=1.0, lam=1.0)
    assert made.advantages.tolist() == pytest.approx([2.05 - 0.3, 2.1 - 0.4, -1.0 - 0.5])
    assert made.returns.tolist() == pytest.approx([2.05, 2.1, -1.0])  # what really came


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.0),  # inside the clip range
        (1.5, 2.0, -2.4, 0.0),  # a good token is pushed no further than 1.2
        (0.5, 2.0, -1.0, -2.0),  # but may always come back
        (0.5, -2.0, 1.6, 0.0),  # a bad token is pushed no lower than .8
        (1.5, -2.0, 3.0, 2.0),  # but may always come down
    ],
)
def test_clipped_policy_loss(ratio: float, advantage: float, loss: float, slope: float) -> None:
    r = torch.tensor([ratio], requires_grad=True)
    found = clipped(r, torch.tensor([advantage]), 0.8, 1.2)
    assert found.item() == pytest.approx(loss)
    assert torch.autograd.grad(found, r)[0].item() == pytest.approx(slope)


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (1.1, 0.5 * 0.9**2),  # within ±.2 of the old value 1: the plain half square to the return 2
        (1.5, 0.5 * 0.8**2),  # moved too far towards it: the clipped one, 1.2, is the worse
        (0.5, 0.5 * 1.5**2),  # moved away: the plain one is the worse
    ],
)
def test_clipped_value_loss(value: float, loss: float) -> None:
    found = value_loss(torch.tensor([value]), torch.tensor([1.0]), torch.tensor([2.0]), clip=0.2)
    assert found.item() == pytest.approx(loss)


def test_at_ratio_one_the_gradient_is_that_of_reinforce() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([0.7, -0.4, 1.3])
    zero = torch.zeros(3)
    output = ppo_loss(logprobs, zero, zero[:0], batch_of(logprobs.detach(), advantages, zero, zero), PPOAlgorithm())
    (found,) = torch.autograd.grad(output.loss, logprobs)
    (reinforce,) = torch.autograd.grad(-(advantages * logprobs).sum(), logprobs)
    assert torch.equal(found, reinforce)


def test_importance_weighs_the_policys_loss_and_not_the_critics() -> None:
    zero, weights = torch.zeros(2), torch.tensor([2.0, 0.5])
    plain = batch_of(zero, torch.tensor([1.0, -3.0]), zero, torch.ones(2))
    found = ppo_loss(zero, zero, zero[:0], replace(plain, importance=weights), PPOAlgorithm())
    assert found.metrics["loss/policy"].item() == pytest.approx(-2.0 + 1.5)
    assert found.metrics["loss/value"].item() == pytest.approx(1.0)


def test_a_good_token_becomes_likelier() -> None:
    logits = torch.zeros(4, requires_grad=True)
    logprobs = torch.log_softmax(logits, -1)[1:2]
    zero = torch.zeros(1)
    batch = batch_of(logprobs.detach(), torch.ones(1), zero, zero)
    ppo_loss(logprobs, zero, zero[:0], batch, PPOAlgorithm()).loss.backward()
    stepped = torch.log_softmax(logits.detach() - 0.1 * logits.grad, -1)
    assert stepped[1] > logprobs[0]


def test_the_critic_moves_towards_the_return() -> None:
    values = torch.tensor([1.0], requires_grad=True)
    zero = torch.zeros(1)
    batch = batch_of(zero, zero, torch.ones(1), torch.full((1,), 3.0))
    output = ppo_loss(zero, values, zero[:0], batch, PPOAlgorithm(value_coefficient=0.1))
    assert output.loss.item() == pytest.approx(0.1 * 0.5 * 4.0)
    assert torch.autograd.grad(output.loss, values)[0].item() == pytest.approx(0.1 * -2.0)


def test_metrics_and_count() -> None:
    new, old = torch.tensor([0.0, -1.0]), torch.tensor([-0.5, -1.0])  # ratios e^.5 and 1
    zero = torch.zeros(2)
    output = ppo_loss(new, zero, zero[:0], batch_of(old, torch.ones(2), zero, zero), PPOAlgorithm())
    assert output.count.item() == 2
    assert output.metrics["ratio/mean"].item() == pytest.approx(1.6487 + 1.0, abs=1e-4)
    assert output.metrics["ratio/clipped"].item() == 1
    assert output.metrics["ratio/kl"].item() == pytest.approx(0.125)
    assert output.metrics["loss/policy"].item() == pytest.approx(-1.2 - 1.0)


def test_text_is_made_likelier_by_its_weight() -> None:
    text = torch.tensor([-1.0, -3.0], requires_grad=True)
    zero = torch.zeros(1)
    output = ppo_loss(zero, zero, text, batch_of(zero, zero, zero, zero, text_weight=0.5), PPOAlgorithm())
    assert output.loss.item() == pytest.approx(0.5 * 4.0)
    assert torch.autograd.grad(output.loss, text)[0].tolist() == [-0.5, -0.5]


class Table(nn.Module):
    """An actor-critic of free numbers: one logit an outcome, one value. Answers are single tokens."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.value = nn.Parameter(logits.clone()), nn.Parameter(torch.zeros(()))

    def forward(self, batch: PackedBatch, text: PackedBatch, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        logprobs = torch.log_softmax(self.logits / temperature, -1)[batch.target_ids]
        return logprobs, self.value.expand(len(logprobs)), logprobs.new_zeros(0)


@pytest.mark.parametrize("seed", [0, 1])
def test_fixed_point_is_the_reference_tilted_by_the_reward(seed: int) -> None:
    """Raw rewards, unwhitened advantages, annealed rate: π → π_ref exp(r/β)/Z, total variation below .02."""
    draw = torch.Generator().manual_seed(seed)
    assert apart(GOAL, REFERENCE.exp()) > 0.3  # there is a way to go

    model = Table(REFERENCE)
    objective = ppo_objective(PPOAlgorithm(value_coefficient=1.0, value_clip=10.0), temperature=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    iterations = 150
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - iteration / iterations)
        log_p = torch.log_softmax(model.logits.detach(), -1)
        tokens = torch.multinomial(log_p.exp(), 2048, replacement=True, generator=draw)
        values = model.value.detach().expand(len(tokens))
        groups = torch.arange(len(tokens))
        rollout = Rollout(single_tokens(tokens), log_p[tokens], REFERENCE[tokens], REWARDS[tokens], groups)
        made = ppo_advantages(rollout, values, beta=BETA, gamma=1.0, lam=0.95)
        for part in torch.randperm(len(tokens), generator=draw).chunk(2):
            batch = RolloutBatch(
                single_tokens(tokens[part]),
                rollout.policy_logprobs[part],
                values[part],
                made.advantages[part],
                made.returns[part],
                torch.ones(len(part)),
                TextBatch(NOTHING, torch.tensor(0.0)),
            )
            output = objective(model, batch)
            optimizer.zero_grad()
            (output.loss / output.count).backward()
            optimizer.step()
    found = model.logits.detach().softmax(-1)
    assert apart(found, GOAL) < 0.02
