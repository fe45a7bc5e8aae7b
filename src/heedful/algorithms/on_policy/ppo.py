"""Proximal policy optimisation (Schulman 2017) as RLHF uses it (Ouyang 2022; Huang 2024): pure losses, one objective.

Shapes: B answers, N tokens of all answers laid end to end. Actions are tokens. What the policy is paid at token t:

    r_t = −β (log π_old(y_t) − log π_ref(y_t)) + [t is the answer's last token] · score          (InstructGPT, eq. 2)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heedful.batches import LossOutput, Rollout, RolloutBatch
from heedful.config.on_policy import PPOAlgorithm
from heedful.ops.advantages import gae, last_tokens
from heedful.ops.kl import k1


@dataclass(frozen=True, slots=True)
class Advantages:
    """What an advantage function makes of a rollout."""

    advantages: Tensor  # (N,) not yet whitened
    returns: Tensor  # (N,) what the critic should have said


def token_rewards(rollout: Rollout, *, beta: float) -> Tensor:
    """The KL penalty at every token, the score at each answer's last one. -> (N,)"""
    rewards = -beta * k1(rollout.policy_logprobs - rollout.reference_logprobs)
    return rewards.index_add(0, last_tokens(rollout.packed.target_lengths), rollout.scores)


def ppo_advantages(rollout: Rollout, values: Tensor, *, beta: float, gamma: float, lam: float) -> Advantages:
    """GAE on token rewards, with the critic's estimate before each token; the returns are advantages + values, before
    any whitening. (N,) -> (N,) each"""
    rewards = token_rewards(rollout, beta=beta)
    advantages = gae(rewards, values, rollout.packed.target_lengths, gamma=gamma, lam=lam)
    return Advantages(advantages, advantages + values)


def clipped(ratio: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """max(−A ρ, −A clip(ρ, low, high)), from 1−ε to 1+ε in PPO (Schulman 2017, eq. 7, negated). (N,), (N,) -> (N,)"""
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(low, high))


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """½ max((V − R)², (clip(V, V_old ± c) − R)²) at each token. (N,) each -> (N,)"""
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())


def ppo_loss(
    logprobs: Tensor, values: Tensor, text_logprobs: Tensor, batch: RolloutBatch, algorithm: PPOAlgorithm
) -> LossOutput:
    """Σ_t policy loss + c_v Σ_t value loss − w Σ log-likelihood of the text mixed in. (N,), (N,), (M,) -> sums

    w is γ · (tokens of the step) / (text tokens of the step), so that after the loop's division by the step's tokens
    the text weighs γ times its mean log-likelihood (InstructGPT, eq. 2), however the step is split.
    """
    log_ratio = logprobs - batch.old_logprobs
    ratio = log_ratio.exp()
    surrogate = clipped(ratio, batch.advantages, 1.0 - algorithm.clip, 1.0 + algorithm.clip)
    policy = (batch.importance * surrogate).sum()
    value = value_loss(values, batch.old_values, batch.returns, clip=algorithm.value_clip).sum()
    text = -batch.text.weight * text_logprobs.sum()
    with torch.no_grad():
        metrics = {
            "loss/policy": policy.detach(),
            "loss/value": value.detach(),
            "loss/text": text.detach(),
            "ratio/mean": ratio.sum(),
            "ratio/variance": (ratio - 1.0).square().sum(),
            "ratio/clipped": ((ratio - 1.0).abs() > algorithm.clip).float().sum(),
            "ratio/kl": 0.5 * log_ratio.square().sum(),  # k2 of the step against the policy that sampled
        }
    loss = policy + algorithm.value_coefficient * value + text
    return LossOutput(loss, torch.tensor(float(len(logprobs)), device=loss.device), metrics)


def ppo_objective(algorithm: PPOAlgorithm, temperature: float) -> Callable[[nn.Module, RolloutBatch], LossOutput]:
    """What `fit` calls with an ActorCritic. The temperature is the one that the answers were sampled at."""

    def objective(model: nn.Module, batch: RolloutBatch) -> LossOutput:
        logprobs, values, text_logprobs = model(batch.packed, batch.text.packed, temperature)
        return ppo_loss(logprobs, values, text_logprobs, batch, algorithm)

    return objective
