"""On-policy batches as a BatchSource: rollout, advantages, minibatches, and again with the new weights.

One iteration = one rollout = `epochs` × `minibatches` optimizer steps. Every draw is named by its iteration, so a
source that begins at an iteration's first step gives what an unbroken one gives; it can begin nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.algorithms.on_policy.ppo import Advantages, ppo_advantages
from heedful.batches import RolloutBatch
from heedful.config import PPOConfig
from heedful.errors import DivergedError, InputError, ResumeError
from heedful.ops.advantages import whiten
from heedful.ops.reductions import global_mean, mean_and_variance
from heedful.run import Run
from heedful.sampling import SamplingParams
from heedful.train import laws
from heedful.train.kl_control import next_coefficient
from heedful.train.last_good import LastGood
from heedful.train.loop import Step
from heedful.train.minibatches import micro_batches
from heedful.train.rollout import Asked, Collected, Players, collect
from heedful.train.rollout_log import log_samples, rollout_metrics, sequence_kl
from heedful.train.text_mix import TextMix

SHOW_EVERY = 5  # iterations between samples written to samples.jsonl


class OnPolicySource:
    """PPO's BatchSource."""

    def __init__(
        self,
        players: Players,
        asked: Sequence[Asked],
        text: TextMix,
        config: PPOConfig,
        run: Run,
        accelerator: Accelerator,
        *,
        starts_at_reference: bool,
    ) -> None:
        self.players, self.asked, self.text = players, asked, text
        self.config, self.run, self.accelerator = config, run, accelerator
        self.starts_at_reference = starts_at_reference
        self.coefficient = config.kl.coefficient
        self.last_good = LastGood(run)
        self.stopped = ""  # why training ended before its last iteration
        self._unchecked = True
        algorithm = config.algorithm
        if algorithm.prompts < algorithm.minibatches * accelerator.num_processes:
            raise InputError(
                f"algorithm.prompts = {algorithm.prompts} does not fill {algorithm.minibatches} minibatches on each of "
                f"{accelerator.num_processes} processes: raise prompts or lower minibatches"
            )
        self.steps_per_iteration = algorithm.epochs * algorithm.minibatches
        self.total_steps = algorithm.iterations * self.steps_per_iteration

    def state_dict(self) -> dict[str, float | int]:
        """What the next iteration begins with. Right at an iteration's last step only."""
        return {"coefficient": self.coefficient} | self.last_good.state_dict()

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.coefficient = float(state["coefficient"])
        self.last_good.load_state_dict(state)

    def steps(self, start: int) -> Iterator[Step]:
        """Steps from an iteration's first one on; ends early when the KL leaves its budget."""
        first, inside = divmod(start, self.steps_per_iteration)
        if inside:
            raise ResumeError(f"{self.run.stage}: step {start} stands inside an iteration, where no rollout can go on")
        for iteration in range(first, self.config.algorithm.iterations):
            collected = self.collect(iteration)
            if not self.within_budget(iteration, collected):
                return
            yield from self._updates(iteration, collected)

    def collect(self, iteration: int) -> Collected:
        """This process's share of an iteration's rollout, with the policy as it is now."""
        config = self.config
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        seeds = [self.run.seed_for("rollout", iteration, index) for index in range(config.algorithm.prompts)]
        collected = collect(
            self.players,
            [self.asked[i] for i in self._draw(iteration)][rank::processes],
            seeds[rank::processes],
            SamplingParams.of(config.generation, self.players.chat),
            config.rewards,
            tokens=config.training.tokens_per_batch,
            accelerator=self.accelerator,
        )
        if self._unchecked:
            laws.sampler_agrees(collected.sampler_gap, self.config.training.precision)
        if iteration == 0 and self.starts_at_reference:
            log_ratio = collected.rollout.policy_logprobs - collected.rollout.reference_logprobs
            laws.starts_at_reference(float(log_ratio.abs().max()), self.config.training.precision)
        if iteration % SHOW_EVERY == 0 or iteration == config.algorithm.iterations:
            log_samples(self.run, iteration, iteration * self.steps_per_iteration, collected)
        return collected

    def within_budget(self, iteration: int, collected: Collected) -> bool:
        """Whether the policy that wrote these answers is near enough to the reference; then its weights are kept."""
        kl, stop = self.mean(sequence_kl(collected)), self.config.kl.stop
        if not isfinite(kl) or not isfinite(self.mean(collected.rollout.scores)):
            raise DivergedError(
                f"iteration {iteration}: the rollout's KL or reward is not finite; "
                "the last checkpoint is kept: lower optim.lr and critic_optim.lr"
            )
        if kl <= stop:
            self.last_good.keep(self.players.policy, iteration, kl)
            return True
        if self.last_good.iteration < 0:
            raise DivergedError(
                f"the policy starts {kl:.1f} nats from the reference, beyond kl.stop = {stop:g}: "
                "raise kl.stop, or start from the reference"
            )
        self.stopped = (
            f"the KL to the reference reached {kl:.1f} nats after {iteration} iterations, beyond kl.stop = {stop:g}: "
            f"ended early with the weights from before iteration {self.last_good.iteration + 1} "
            f"(KL {self.last_good.kl:.1f}); to go further, lower optim.lr or raise kl.coefficient"
        )
        self.run.say(self.stopped)
        return False

    def mean(self, values: Tensor) -> float:
        """The mean over the items of all processes."""
        return float(global_mean(values, self._reduce))

    def _reduce(self, value: Tensor) -> Tensor:
        reduced: Tensor = self.accelerator.reduce(value.to(self.accelerator.device), "sum")
        return reduced.cpu()

    def _draw(self, iteration: int) -> list[int]:
        """Which prompts: a fresh permutation of all of them for each pass over them."""
        count, total = self.config.algorithm.prompts, len(self.asked)
        places = [divmod(place, total) for place in range(iteration * count, (iteration + 1) * count)]
        order = {epoch: self.run.rng("prompts", epoch).permutation(total) for epoch in {epoch for epoch, _ in places}}
        return [int(order[epoch][place]) for epoch, place in places]

    def _updates(self, iteration: int, collected: Collected) -> Iterator[Step]:
        """The optimizer steps of one rollout: for each epoch, minibatches of a fresh permutation."""
        config, rank = self.config, self.accelerator.process_index
        advantages, metrics = self._advantages(iteration, collected)
        begun = time.perf_counter()
        for epoch in range(config.algorithm.epochs):
            rng = self.run.rng("minibatches", iteration * config.algorithm.epochs + epoch, rank)
            parts = np.array_split(rng.permutation(len(collected.texts)), config.algorithm.minibatches)
            for part, answers in enumerate(parts):
                inside = epoch * config.algorithm.minibatches + part
                last = inside == self.steps_per_iteration - 1
                batches = self._minibatch(iteration, inside, collected, advantages, [int(i) for i in answers])
                if self._unchecked:
                    self._check_ratio(batches[0])
                tokens = float(sum(len(batch.old_logprobs) for batch in batches))
                if last and inside:  # its own update is still to come, and is taken to be like the others
                    metrics["time/update"] = (time.perf_counter() - begun) * (inside + 1) / inside
                yield Step(batches=batches, count=tokens, metrics=metrics if last else {}, last_of_boundary=last)

    def _minibatch(
        self, iteration: int, inside: int, collected: Collected, advantages: Advantages, answers: list[int]
    ) -> list[RolloutBatch]:
        """One optimizer step's batches; while only the critic learns, no text is mixed in."""
        step = iteration * self.steps_per_iteration + inside
        learns = iteration >= self.config.algorithm.critic_warmup
        return micro_batches(
            collected.examples,
            collected.rollout,
            advantages,
            answers,
            self.text.draw(self.run.rng("text", step, self.accelerator.process_index)) if learns else [],
            text_coefficient=self.config.ptx.coefficient,
            tokens=self.config.training.tokens_per_batch,
        )

    def _advantages(self, iteration: int, collected: Collected) -> tuple[Advantages, dict[str, float]]:
        """Advantages (whitened; nought while only the critic learns), what is logged, and the next coefficient."""
        algorithm = self.config.algorithm
        made = ppo_advantages(collected.rollout, beta=self.coefficient, gamma=algorithm.gamma, lam=algorithm.lam)
        metrics = rollout_metrics(collected, made, self.config.rewards, beta=self.coefficient, reduce=self._reduce)
        self.coefficient = next_coefficient(
            self.config.kl, self.coefficient, metrics["kl/reference"], algorithm.prompts
        )
        advantages = made.advantages
        if algorithm.whiten:
            advantages = whiten(advantages, *mean_and_variance(advantages, self._reduce))
        if iteration < algorithm.critic_warmup:
            advantages = torch.zeros_like(advantages)
        return Advantages(advantages, made.returns), metrics

    @torch.no_grad()
    def _check_ratio(self, batch: RolloutBatch) -> None:
        """The law of the first update, on its first micro-batch, packed as it will be."""
        with self.accelerator.autocast():
            logprobs = self.players.policy(batch.packed.to(self.accelerator.device), self.config.generation.temperature)
        log_ratio = logprobs.cpu() - batch.old_logprobs
        laws.first_ratio_is_one(float(log_ratio.abs().max()), self.config.training.precision)
        self._unchecked = False
