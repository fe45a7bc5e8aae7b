"""What the algorithms without a critic make of a rollout: each answer beside its siblings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from heedful.algorithms.on_policy.advantages import token_advantages, wins
from heedful.algorithms.on_policy.critic_free import counts_tokens, of_actions
from heedful.batches import GroupBatch, TextBatch
from heedful.config import RLConfig
from heedful.config.rl import DAPO, PolicyGradient, ReinforcePP
from heedful.data.packing import pack
from heedful.ops.advantages import whiten
from heedful.ops.importance import truncated_importance
from heedful.train.minibatches import Experience, flat, tokens_of
from heedful.train.opponents import Opponent
from heedful.train.rollout import Collected
from heedful.train.rollout_log import group_metrics, importance_metrics, rollout_metrics


class GroupMethod:
    """Policy gradients: RLOO, GRPO and their family."""

    together = False

    def __init__(self, algorithm: PolicyGradient, config: RLConfig) -> None:
        self.algorithm, self.config = algorithm, config
        self.rounds = algorithm.rounds if isinstance(algorithm, DAPO) else 1

    def experience(self, iteration: int, collected: Collected, beta: float) -> tuple[Experience, Mapping[str, float]]:
        """Advantages from the answers to the same prompt; REINFORCE++'s are whitened over the whole rollout."""
        algorithm, rollout = self.algorithm, collected.rollout
        metrics = rollout_metrics(collected, self.config.rewards, beta=beta)
        metrics |= group_metrics(collected)
        advantages = token_advantages(algorithm, rollout, beta=beta)
        if isinstance(algorithm, ReinforcePP):
            advantages = whiten(advantages) if algorithm.whiten else advantages - advantages.mean()
        lengths, in_loss = rollout.packed.target_lengths, torch.tensor(beta)
        both = (rollout.policy_logprobs, collected.sampler_logprobs)
        trainer, sampler = (of_actions(algorithm, logprobs, lengths) for logprobs in both)
        importance = truncated_importance(trainer, sampler, self.config.importance_cap)
        metrics |= importance_metrics(importance, self.config.importance_cap)

        def batch(units: Sequence[Sequence[int]], text: TextBatch) -> GroupBatch:
            answers = flat(units)
            places = tokens_of(lengths, answers)
            return GroupBatch(
                packed=pack([collected.examples[i] for i in answers]),
                old_logprobs=rollout.policy_logprobs[places],
                reference_logprobs=rollout.reference_logprobs[places],
                advantages=advantages[places],
                importance=importance[places],
                kl_coefficient=in_loss,
                text=text,
            )

        def count(units: Sequence[Sequence[int]]) -> float:
            answers = flat(units)
            return float(lengths[answers].sum()) if counts_tokens(algorithm) else float(len(answers))

        experience = Experience(
            examples=collected.examples,
            old_logprobs=rollout.policy_logprobs,
            units=[(i,) for i in range(len(collected.examples))],
            count=count,
            batch=batch,
            with_text=True,
        )
        return experience, metrics


class NashMethod:
    """Nash-MD: what is paid is the chance to beat an opponent; the step is a policy gradient's."""

    rounds = 1
    together = False

    def __init__(self, gradient: GroupMethod, opponent: Opponent) -> None:
        self.gradient, self.opponent = gradient, opponent

    def experience(self, iteration: int, collected: Collected, beta: float) -> tuple[Experience, Mapping[str, float]]:
        """The opponent answers the same prompts, as often."""
        rollout = collected.rollout
        theirs = self.opponent.answers(iteration, collected)
        won = wins(rollout.scores, rollout.groups, theirs.paid, torch.tensor(theirs.groups))
        experience, metrics = self.gradient.experience(
            iteration, replace(collected, rollout=replace(rollout, scores=won)), beta
        )
        return experience, dict(metrics) | {"opponent/win_rate": float(won.mean())}
