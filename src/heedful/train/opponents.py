"""Others who answer the prompts of a rollout: the reference itself (XPO), or a mixture with it (Nash-MD)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from accelerate import Accelerator

from heedful.config import RLConfig
from heedful.models.heads import Policy
from heedful.models.lora import adapters_off
from heedful.run import Run
from heedful.sampling import Sampled, Sampler, SamplingParams, make_sampler
from heedful.train.kl_control import follow
from heedful.train.rollout import Answers, Asked, Collected, Players, ask, measure, scored


class FixedSampler:
    """A policy that stays what it is, whoever is trained."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._inner = policy, make_sampler(policy)

    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        with adapters_off(self._policy.lm):  # it may be what the trained policy's adapters stand on
            return self._inner.sample(prompts, params, seeds)

    def update(self, model: Policy) -> None:
        """Nothing: it answers as itself."""


class MixtureSampler:
    """Between the policy and the reference: weights (1 − m) θ + m θ_ref.

    Nash-MD asks for the geometric mixture π^(1−m) π_ref^m of the two distributions. A mean of weights is that to first
    order in their difference, and exactly where logits are linear in the weights; it costs no second network a token.
    """

    def __init__(self, policy: Policy, reference: Policy, mixture: float) -> None:
        self._reference, self._mixture = reference, mixture
        self._mixed = deepcopy(policy).requires_grad_(False)
        self._inner: Sampler = make_sampler(self._mixed)

    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        return self._inner.sample(prompts, params, seeds)

    @torch.no_grad()
    def update(self, model: Policy) -> None:
        """Mix anew with the policy as it is now."""
        for mixed, new in zip(self._mixed.parameters(), model.parameters(), strict=True):
            mixed.copy_(new)
        follow(self._mixed, self._reference, self._mixture)
        self._inner.update(self._mixed)


class Opponent:
    """Answers every prompt of a rollout as often as the policy did."""

    def __init__(
        self, players: Players, sampler: Sampler, config: RLConfig, run: Run, accelerator: Accelerator
    ) -> None:
        self.players = replace(players, sampler=sampler)
        self.config, self.run, self.accelerator = config, run, accelerator

    def answers(self, iteration: int, collected: Collected) -> Answers:
        """Scored answers, in the order of `in_order_of_length`; their groups are those of the rollout. Each process
        samples those of some groups."""
        all_groups = collected.rollout.groups.tolist()
        most = max(Counter(all_groups).values())
        turns: Counter[int] = Counter()
        asked: list[Asked] = []
        groups: list[int] = []
        seeds: list[int] = []
        for one, group in zip(collected.asked, all_groups, strict=True):
            if group % self.accelerator.num_processes != self.accelerator.process_index:
                continue
            asked.append(one)
            groups.append(group)
            seeds.append(self.run.seed_for("opponent", iteration, group * most + turns[group]))
            turns[group] += 1
        params = SamplingParams.of(self.config.generation, self.players.chat)
        clock = collected.clock
        sampled = ask(self.players, asked, seeds, params, clock)
        return scored(self.players, asked, groups, sampled, params, self.config.rewards, clock, self.accelerator)

    def collected(self, iteration: int, collected: Collected) -> Collected:
        """The same, read by policy and reference."""
        return measure(
            self.players,
            self.answers(iteration, collected),
            collected.clock,
            temperature=self.config.generation.temperature,
            tokens=self.config.training.tokens_per_batch,
            accelerator=self.accelerator,
        )
