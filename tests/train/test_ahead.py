"""Sampling the next rollout while this one is learned from: whose weights, whose answers, and what a resume has."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import get_ident

import pytest
import torch
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))
from test_rollout import config, learn, players, source

from heedful.config import PPOConfig, RLConfig
from heedful.errors import ResourceError
from heedful.models.heads import Policy
from heedful.run import Run
from heedful.sampling import NativeSampler, Sampled, SamplingParams
from heedful.train.ahead import Ahead

PARAMS = SamplingParams(temperature=1.0, max_new_tokens=8, batch=4, eos_id=1, pad_id=0)
PROMPTS, SEEDS = [[2, 3], [4, 5, 6]] * 3, list(range(6))


class Recorder:
    """A sampler that notes in which thread, and from which weights, each rollout came."""

    def __init__(self, policy: Policy) -> None:
        self.inner, self.notes = NativeSampler(policy), list[tuple[int, float]]()
        self.policy = policy

    def update(self, model: Policy) -> None:
        self.policy = model
        self.inner.update(model)

    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        self.notes.append((get_ident(), weights_of(self.policy)))
        return self.inner.sample(prompts, params, seeds)


def weights_of(policy: Policy) -> float:
    """A number that tells weights apart."""
    return float(sum(parameter.detach().double().abs().sum() for parameter in policy.parameters()))


def overlapping(**more: object) -> PPOConfig:
    return config(overlap=True, importance_cap=2.0, **more)


def test_each_rollout_but_the_first_is_one_step_behind_in_another_thread(tmp_path: Path) -> None:
    who = players()
    recorder, begun = Recorder(who.policy), []
    object.__setattr__(who, "sampler", recorder)
    made = source(Run(tmp_path, "ppo", seed=3), overlapping(), who)
    first = made.within_budget
    made.within_budget = lambda *given: begun.append(weights_of(who.policy)) or first(*given)  # type: ignore[method-assign]
    rows = learn(made)
    (here, *threads), found = zip(*recorder.notes, strict=True)
    assert here == get_ident() and all(thread != here for thread in threads)
    assert found == (begun[0], begun[0], begun[1])  # of the rollouts 0, 1 and 2
    assert len(set(begun)) == 3
    assert rows[0]["sampler/gap"] < 1e-5 and rows[0]["sampler/importance"] == pytest.approx(1, abs=1e-5)
    assert all(row["sampler/gap"] > 1e-3 and row["time/ahead"] > 0 for row in rows[1:])


def test_what_is_sampled_ahead_is_what_those_weights_would_say(tmp_path: Path) -> None:
    policy = players().policy
    expected = NativeSampler(policy).sample(PROMPTS, PARAMS, SEEDS)
    ahead = Ahead(NativeSampler(policy), policy)
    ahead.begin(4, PROMPTS, PARAMS, SEEDS)
    with torch.no_grad():
        for parameter in policy.parameters():  # learning goes on meanwhile
            parameter.mul_(2.0)
    assert ahead.take(4) == expected
    assert ahead.take(4) == []


def test_answers_for_another_iteration_are_dropped() -> None:
    policy = players().policy
    ahead = Ahead(NativeSampler(policy), policy)
    ahead.begin(4, PROMPTS, PARAMS, SEEDS)
    assert ahead.take(9) == []
    assert ahead.state_dict() == {}


def test_a_checkpoint_holds_the_answers() -> None:
    policy = players().policy
    ahead, again = (Ahead(NativeSampler(policy), policy) for _ in range(2))
    ahead.begin(4, PROMPTS, PARAMS, SEEDS)
    state = json.loads(json.dumps(ahead.state_dict()))
    again.load_state_dict(state, process=0, processes=1)
    assert again.take(4) == ahead.take(4)
    again.load_state_dict(state, process=0, processes=2)  # half of the prompts: they are sampled anew
    assert again.take(4) == []


def test_beginning_at_an_iteration_gives_what_an_unbroken_run_gives(tmp_path: Path) -> None:
    who, cfg = players(), overlapping(iterations=2)
    made = source(Run(tmp_path / "a", "ppo", seed=3), cfg, who)
    steps = made.steps(0)
    for _ in range(made.steps_per_iteration):
        next(steps)
    with torch.no_grad():
        for parameter in who.policy.parameters():  # the last step is taken; the next is not drawn yet
            parameter.mul_(1.1)
    kept = {name: value.clone() for name, value in who.policy.state_dict().items()}
    state = json.loads(json.dumps(made.state_dict()))
    assert state["ahead"] == 1
    unbroken = made.collect(1)
    other = players()
    other.policy.load_state_dict(kept)
    resumed = source(Run(tmp_path / "b", "ppo", seed=3), cfg, other)
    resumed.load_state_dict(state)
    found = resumed.collect(1)
    assert found.sampler_gap > 1e-3  # of the weights before that step
    assert found.samples == unbroken.samples
    assert torch.equal(found.rollout.policy_logprobs, unbroken.rollout.policy_logprobs)


def test_what_fails_in_the_background_fails_the_run(tmp_path: Path) -> None:
    class Dying(Recorder):
        def sample(self, *given: object) -> list[Sampled]:
            if self.notes:
                raise ResourceError("the engine died")
            return super().sample(*given)  # type: ignore[arg-type]

    who = players()
    object.__setattr__(who, "sampler", Dying(who.policy))
    with pytest.raises(ResourceError, match="the engine died"):
        learn(source(Run(tmp_path, "ppo", seed=3), overlapping(), who))


def test_older_answers_need_a_weight_that_says_so() -> None:
    with pytest.raises(ValidationError, match="overlap learns from answers of older weights: set importance_cap"):
        config(overlap=True)
    fields = {"model": "m", "prompts": "p", "rewards": {"model": "r"}, "practice": {"overlap": True}}
    with pytest.raises(ValidationError, match="set importance_cap"):
        RLConfig.model_validate(fields)
    with pytest.raises(ValidationError, match="online_dpo has no weight that could correct"):
        RLConfig.model_validate(fields | {"algorithm": {"type": "online_dpo"}})
    assert RLConfig.model_validate(fields | {"importance_cap": 2.0}).practice.overlap
