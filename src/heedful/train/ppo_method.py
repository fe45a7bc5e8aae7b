"""What PPO makes of a rollout: generalised advantages from its critic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator

from heedful.algorithms.on_policy.ppo import ppo_advantages
from heedful.batches import RolloutBatch, TextBatch
from heedful.config import PPOConfig
from heedful.data.packing import pack
from heedful.models.heads import ValueModel
from heedful.ops.advantages import whiten
from heedful.ops.importance import truncated_importance
from heedful.train.minibatches import Experience, flat, tokens_of
from heedful.train.rollout import Collected, over_batches
from heedful.train.rollout_log import critic_metrics, importance_metrics, rollout_metrics


class PPOMethod:
    """The critic is read on every rollout; in its warm-up it alone learns."""

    rounds = 1
    together = False

    def __init__(self, critic: ValueModel, config: PPOConfig, accelerator: Accelerator) -> None:
        self.critic, self.config, self.accelerator = critic, config, accelerator

    def experience(self, iteration: int, collected: Collected, beta: float) -> tuple[Experience, Mapping[str, float]]:
        """Advantages whitened over the whole rollout; nought, and no text, while only the critic learns."""
        algorithm = self.config.algorithm
        with collected.clock.phase("forward"):
            (values,) = over_batches(
                collected.examples,
                lambda batch: [self.critic(batch)],
                limit=self.config.training.tokens_per_batch,
                accelerator=self.accelerator,
            )
        made = ppo_advantages(collected.rollout, values, beta=beta, gamma=algorithm.gamma, lam=algorithm.lam)
        metrics = rollout_metrics(collected, self.config.rewards, beta=beta)
        metrics |= critic_metrics(values, made.returns)
        importance = truncated_importance(
            collected.rollout.policy_logprobs, collected.sampler_logprobs, algorithm.importance_cap
        )
        metrics |= importance_metrics(importance, algorithm.importance_cap)
        advantages, warming_up = made.advantages, iteration < algorithm.critic_warmup
        if algorithm.whiten:
            advantages = whiten(advantages)
        if warming_up:
            advantages = torch.zeros_like(advantages)
        rollout, lengths = collected.rollout, collected.rollout.packed.target_lengths

        def batch(units: Sequence[Sequence[int]], text: TextBatch) -> RolloutBatch:
            answers = flat(units)
            places = tokens_of(lengths, answers)
            return RolloutBatch(
                packed=pack([collected.examples[i] for i in answers]),
                old_logprobs=rollout.policy_logprobs[places],
                old_values=values[places],
                advantages=advantages[places],
                returns=made.returns[places],
                importance=importance[places],
                text=text,
            )

        experience = Experience(
            examples=collected.examples,
            old_logprobs=rollout.policy_logprobs,
            units=[(i,) for i in range(len(collected.examples))],
            count=lambda units: float(lengths[flat(units)].sum()),
            batch=batch,
            with_text=not warming_up,
        )
        return experience, metrics
