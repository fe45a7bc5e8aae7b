"""On-policy batches as a BatchSource: rollout, advantages, minibatches, and again with the new weights.

One iteration = one rollout = `epochs` × `minibatches` optimizer steps. Every draw is named by its iteration, so a
source that begins at an iteration's first step gives what an unbroken one gives; it can begin nowhere else. What an
algorithm makes of a rollout is its Method's: `ppo_method`, `group_method`, `duel_method`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.config import PPOConfig, RLConfig
from heedful.config.rl import Practice
from heedful.data.packing import pack
from heedful.errors import DivergedError, InputError, ResumeError
from heedful.ops.advantages import differs
from heedful.run import Run
from heedful.sampling import Sampled, SamplingParams
from heedful.train import laws
from heedful.train.ahead import Ahead
from heedful.train.clock import Clock
from heedful.train.kl_control import follow, next_coefficient
from heedful.train.last_good import LastGood
from heedful.train.loop import Step
from heedful.train.minibatches import Experience, cut, flat, micro_batches, share_of, tokens_of
from heedful.train.processes import whole
from heedful.train.rollout import (
    Answers,
    Asked,
    Collected,
    Players,
    ask,
    in_order_of_length,
    measure,
    scored,
)
from heedful.train.rollout_log import log_samples, sequence_kl
from heedful.train.text_mix import TextMix

SHOW_EVERY = 5  # iterations between samples written to samples.jsonl


class Method(Protocol):
    """How an algorithm learns from a rollout."""

    rounds: int  # most times that prompts are sampled for one rollout, to replace groups that were paid all alike
    together: bool  # whether a minibatch holds all answers to a prompt or none

    def experience(self, iteration: int, collected: Collected, beta: float) -> tuple[Experience, Mapping[str, float]]:
        """What is learned from a rollout that was paid with β, and what is logged of it."""
        ...


class OnPolicySource:
    """The BatchSource of every algorithm that samples what it learns from."""

    def __init__(
        self,
        players: Players,
        method: Method,
        asked: Sequence[Asked],
        text: TextMix,
        practice: Practice,
        config: PPOConfig | RLConfig,
        run: Run,
        accelerator: Accelerator,
        *,
        starts_at_reference: bool,
    ) -> None:
        self.players, self.method, self.asked, self.text = players, method, asked, text
        self.practice, self.config, self.run, self.accelerator = practice, config, run, accelerator
        self.starts_at_reference = starts_at_reference
        self.coefficient = config.kl.coefficient
        self.last_good = LastGood(run)
        self.ahead = Ahead(players.sampler, players.policy)
        self.stopped = ""  # why training ended before its last iteration
        self._unchecked = True
        units = practice.prompts * (1 if method.together else practice.completions)
        if min(practice.prompts, units // practice.minibatches) < accelerator.num_processes:
            raise InputError(
                f"prompts = {practice.prompts} does not fill minibatches = {practice.minibatches} on each of "
                f"{accelerator.num_processes} processes: raise prompts or lower minibatches"
            )
        if practice.overlap and config.training.sharding != "none":
            raise InputError("overlap keeps a whole copy of the policy, which sharding spares: leave one of them out")
        self.steps_per_iteration = practice.epochs * practice.minibatches
        self.total_steps = practice.iterations * self.steps_per_iteration

    def state_dict(self) -> dict[str, Any]:
        """What the next iteration begins with. Right at an iteration's last step only."""
        return {"coefficient": self.coefficient} | self.last_good.state_dict() | self.ahead.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.coefficient = float(state["coefficient"])
        self.last_good.load_state_dict(state)
        self.ahead.load_state_dict(state, self.accelerator.process_index, self.accelerator.num_processes)

    def steps(self, start: int) -> Iterator[Step]:
        """Steps from an iteration's first one on; ends early when the KL leaves its budget."""
        first, inside = divmod(start, self.steps_per_iteration)
        if inside:
            raise ResumeError(f"{self.run.stage}: step {start} stands inside an iteration, where no rollout can go on")
        for iteration in range(first, self.practice.iterations):
            with whole(self.accelerator):
                if iteration:
                    follow(self.players.reference, self.players.policy, self.config.kl.ema)
                collected = self.collect(iteration)
                if not self.within_budget(iteration, collected):
                    return
                with collected.clock.phase("advantage"):
                    experience, metrics = self.method.experience(iteration, collected, self.coefficient)
                if self._unchecked:
                    self._check_ratio(experience, self._minibatches(iteration, 0, experience)[0])
                if self.practice.overlap and iteration + 1 < self.practice.iterations:
                    asked, _, seeds = self._questions(iteration + 1, 0)
                    self.ahead.begin(iteration + 1, [one.ids for one in asked], self._params, seeds)
            yield from self._updates(iteration, experience, metrics, collected.clock)

    def collect(self, iteration: int) -> Collected:
        """An iteration's rollout, with the policy as it is now."""
        clock = Clock()
        with clock.phase("sample"):
            early = self.ahead.take(iteration)
        if early:
            clock.seconds["ahead"] = self.ahead.seconds
        collected = measure(
            self.players,
            self._answers(iteration, early, clock),
            clock,
            temperature=self.config.generation.temperature,
            tokens=self.config.training.tokens_per_batch,
            accelerator=self.accelerator,
        )
        if self._unchecked and not early:  # those come from older weights
            gaps = collected.sampler_logprobs - collected.rollout.policy_logprobs
            laws.sampler_agrees(gaps, self.config.training.precision, self.config.sampler.precision)
        if iteration == 0 and self.starts_at_reference:
            log_ratio = collected.rollout.policy_logprobs - collected.rollout.reference_logprobs
            laws.starts_at_reference(log_ratio, self.config.training.precision)
        if iteration % SHOW_EVERY == 0 or iteration == self.practice.iterations:
            log_samples(self.run, iteration, iteration * self.steps_per_iteration, collected)
        return collected

    def _answers(self, iteration: int, early: Sequence[Sampled], clock: Clock) -> Answers:
        """All answers; those to prompts whose answers were all paid alike are sampled anew
        with other prompts while there are rounds left, and kept where nothing better came (DAPO's dynamic sampling).
        `early`: what was sampled ahead for the first round, if anything."""
        answers = self._round(iteration, 0, early, clock)
        if self.method.rounds == 1:
            return answers
        each, missing = self.practice.completions, len(answers.asked) // self.practice.completions
        kept, alike = answers.at([]), answers.at([])
        for turn in range(self.method.rounds):
            answers = self._round(iteration, turn, (), clock) if turn else answers
            differ = differs(answers.paid, torch.tensor(answers.groups))
            found = _first_groups(answers, differ, missing)
            kept, alike = kept + found, alike + _first_groups(answers, ~differ, missing)
            missing -= len(found.asked) // each
            if not missing:
                break
        kept += _first_groups(alike, torch.ones(len(alike.asked), dtype=torch.bool), missing)
        return kept.at(in_order_of_length(kept.asked, kept.samples))

    def _round(self, iteration: int, turn: int, early: Sequence[Sampled], clock: Clock) -> Answers:
        """Scored answers to all questions of a turn, sampled now where they were not sampled early."""
        asked, groups, seeds = self._questions(iteration, turn)
        sampled = early or ask(self.players, asked, seeds, self._params, clock)
        return scored(self.players, asked, groups, sampled, self._params, self.config.rewards, clock, self.accelerator)

    def _questions(self, iteration: int, turn: int) -> tuple[list[Asked], list[int], list[int]]:
        """This process's prompts of an iteration, once for each answer, with their groups and the answers' seeds; of
        other prompts in a later turn."""
        (rank, processes), each = self._share, self.practice.completions
        drawn = self._draw(iteration) if turn == 0 else self._draw_more(iteration, turn)
        places = range(rank, len(drawn), processes)
        first = turn * self.practice.prompts  # groups have numbers of their own in every turn
        purpose = "rollout" if turn == 0 else f"rollout-{turn}"
        return (
            [self.asked[drawn[place]] for place in places for _ in range(each)],
            [first + place for place in places for _ in range(each)],
            [self.run.seed_for(purpose, iteration, place * each + draw) for place in places for draw in range(each)],
        )

    @property
    def _params(self) -> SamplingParams:
        return SamplingParams.of(self.config.generation, self.players.chat)

    def within_budget(self, iteration: int, collected: Collected) -> bool:
        """Whether the policy that wrote these answers is near enough to the reference; then its weights are kept."""
        kl, stop = float(sequence_kl(collected).mean()), self.config.kl.stop
        if not isfinite(kl) or not isfinite(float(collected.rollout.scores.mean())):
            raise DivergedError(
                f"iteration {iteration}: the rollout's KL or reward is not finite; "
                "the last checkpoint is kept: lower optim.lr (and critic_optim.lr), and start the stage anew"
            )
        if kl <= stop:
            self.last_good.keep(self.players.policy, iteration, kl)
            return True
        if self.last_good.iteration < 0:
            raise DivergedError(
                f"the policy starts {kl:.1f} nats from the reference, beyond kl.stop = {stop:g}: "
                "raise kl.stop, or start from the reference"
            )
        before = f"the weights from before iteration {self.last_good.iteration + 1} (KL {self.last_good.kl:.1f})"
        best = self.config.training.early_stop.metric and iteration < self.practice.iterations
        self.stopped = (
            f"the KL to the reference reached {kl:.1f} nats after {iteration} iterations, beyond kl.stop = {stop:g}: "
            f"ended early with {'the best weights looked at' if best else before}; "
            "to go further, lower optim.lr or raise kl.coefficient"
        )
        self.run.say(self.stopped)
        return False

    def _draw(self, iteration: int) -> list[int]:
        """Which prompts: a fresh permutation of all of them for each pass over them."""
        count, total = self.practice.prompts, len(self.asked)
        places = [divmod(place, total) for place in range(iteration * count, (iteration + 1) * count)]
        order = {epoch: self.run.rng("prompts", epoch).permutation(total) for epoch in {epoch for epoch, _ in places}}
        return [int(order[epoch][place]) for epoch, place in places]

    def _draw_more(self, iteration: int, turn: int) -> list[int]:
        """Prompts to replace some with: drawn at random from all."""
        return [
            int(i) for i in self.run.rng("more", iteration, turn).integers(len(self.asked), size=self.practice.prompts)
        ]

    def _minibatches(self, iteration: int, epoch: int, experience: Experience) -> list[list[int]]:
        """The units of the minibatches of all processes: of a fresh permutation for each epoch of a rollout."""
        rng = self.run.rng("minibatches", iteration * self.practice.epochs + epoch)
        order = rng.permutation(len(experience.units))
        return [[int(i) for i in part] for part in np.array_split(order, self.practice.minibatches)]

    @property
    def _share(self) -> tuple[int, int]:
        return self.accelerator.process_index, self.accelerator.num_processes

    def _updates(
        self, iteration: int, experience: Experience, made: Mapping[str, float], clock: Clock
    ) -> Iterator[Step]:
        """The optimizer steps of one rollout."""
        practice = self.practice
        episodes = practice.prompts * practice.completions
        self.coefficient = next_coefficient(self.config.kl, self.coefficient, made["kl/reference"], episodes)
        for epoch in range(practice.epochs):
            for part, units in enumerate(self._minibatches(iteration, epoch, experience)):
                inside = epoch * practice.minibatches + part
                last = inside == self.steps_per_iteration - 1
                step = iteration * self.steps_per_iteration + inside
                with clock.phase("update"):
                    batches, count = micro_batches(
                        experience,
                        units,
                        self.text.draw(self.run.rng("text", step)) if experience.with_text else [],
                        text_coefficient=self.config.ptx.coefficient,
                        tokens=self.config.training.tokens_per_batch,
                        share=self._share,
                    )
                yield Step(
                    batches=batches,
                    count=count,
                    metrics=made if last else {},
                    found={} if inside else made,
                    last_of_boundary=last,
                    clock=clock,
                )

    @torch.no_grad()
    def _check_ratio(self, experience: Experience, units: Sequence[int]) -> None:
        """The law of the first update, on its first micro-batch, packed as it will be."""
        mine = share_of(experience, units, *self._share)
        answers = flat(cut(experience, mine, self.config.training.tokens_per_batch)[0])
        packed = pack([experience.examples[i] for i in answers]).to(self.accelerator.device)
        with self.accelerator.autocast():
            logprobs = self.players.policy(packed, self.config.generation.temperature)
        log_ratio = logprobs.cpu() - experience.old_logprobs[tokens_of(experience.lengths, answers)]
        laws.first_ratio_is_one(log_ratio, self.config.training.precision)
        self._unchecked = False


def _first_groups(answers: Answers, those: Tensor, most: int) -> Answers:
    """The groups of `those` answers with the lowest numbers, `most` groups of them."""
    numbers = sorted({group for group, good in zip(answers.groups, those.tolist(), strict=True) if good})
    wanted = set(numbers[:most])
    return answers.at([i for i, group in enumerate(answers.groups) if group in wanted])
