"""What each on-policy method makes of one rollout, by hand: who meets whom, who wins, which way it pushes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch.nn.utils import parameters_to_vector

sys.path.insert(0, str(Path(__file__).parent))
from test_rollout import config, critic, players, policy, source

from heedful.algorithms.on_policy.ppo import ppo_advantages
from heedful.batches import DuelBatch, GroupBatch, RolloutBatch, TextBatch
from heedful.config import RLConfig
from heedful.config.rl import DAPO, RLOO, XPO, NashMD, OnlineDPO, ReinforcePP, RLAlgorithm
from heedful.data.packing import pack
from heedful.run import Run
from heedful.sampling import Sampled, SamplingParams
from heedful.train.duel_method import DuelMethod
from heedful.train.group_method import GroupMethod, NashMethod
from heedful.train.kl_control import follow
from heedful.train.minibatches import Experience
from heedful.train.opponents import FixedSampler, MixtureSampler, Opponent
from heedful.train.ppo_method import PPOMethod
from heedful.train.rollout import Answers, Collected

NO_TEXT = TextBatch(pack([]), torch.tensor(0.0))
ALONE = Accelerator(cpu=True)


def wanted(algorithm: RLAlgorithm, **more: object) -> RLConfig:
    return RLConfig.model_validate(
        {"model": "m", "prompts": "p", "rewards": {"model": "r"}, "algorithm": algorithm} | more
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "rl", "rl", seed=3)


@pytest.fixture
def found(run: Run) -> Collected:
    """Twelve answers in groups of 3, by turns; the i-th is paid i, and the policy is away from the reference."""
    made = source(run, config()).collect(0)
    scores, groups = torch.arange(12.0), torch.arange(12) % 4
    apart = made.rollout.policy_logprobs - 0.3 * torch.arange(len(made.rollout.policy_logprobs)).cos()
    return replace(made, rollout=replace(made.rollout, scores=scores, groups=groups, reference_logprobs=apart))


class Other:
    """An opponent with given scores for the same answers."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores

    def collected(self, iteration: int, collected: Collected) -> Collected:
        rollout = replace(collected.rollout, scores=self.scores, policy_logprobs=collected.rollout.policy_logprobs - 1)
        return replace(collected, rollout=rollout)

    def answers(self, iteration: int, collected: Collected) -> Answers:
        groups = collected.rollout.groups.tolist()
        return Answers(collected.asked, groups, collected.samples, collected.texts, collected.scores, self.scores)


def duels(experience: Experience) -> tuple[DuelBatch, list[int]]:
    """All of an experience as one batch, and which answer each of its rows is."""
    made = experience.batch(experience.units, NO_TEXT)
    assert isinstance(made, DuelBatch)
    return made, [i for unit in experience.units for i in unit]


def test_online_dpo_pairs_siblings_and_prefers_the_better_paid(found: Collected) -> None:
    experience, metrics = DuelMethod(OnlineDPO(), wanted(OnlineDPO())).experience(0, found, 0.1)
    made, answers = duels(experience)
    first, second = ([answers[i] for i in side.tolist()] for side in (made.pairs.chosen, made.pairs.rejected))
    groups = found.rollout.groups.tolist()
    assert set(zip(first, second, strict=True)) == {
        (i, j) for i in range(12) for j in range(i + 1, 12) if groups[i] == groups[j]
    }
    gap = torch.tensor(first, dtype=torch.float) - torch.tensor(second)
    assert torch.allclose(made.pairs.target, torch.sigmoid(gap))
    assert made.pairs.weight.tolist() == pytest.approx([1 / 3] * 12)
    assert not made.pairs.margin.any() and not made.foreign.any()
    assert float(made.kl_coefficient) == pytest.approx(0.1) and metrics["kl/coefficient"] == 0.1
    each = found.rollout.reference_logprobs.split(found.rollout.packed.target_lengths.tolist())
    assert torch.allclose(made.reference, torch.stack([each[i].sum() for i in answers]))
    assert experience.count(experience.units) == 4


def test_xpo_compares_every_answer_with_every_one_of_the_references(found: Collected) -> None:
    """Both sides lie in order of length: by place, the shortest would meet the shortest alone."""
    theirs = torch.arange(12.0).flip(0)
    method = DuelMethod(XPO(), wanted(XPO()), Other(theirs))  # type: ignore[arg-type]
    experience, _ = method.experience(0, found, 0.1)
    made, answers = duels(experience)
    first, second = ([answers[i] for i in side.tolist()] for side in (made.pairs.chosen, made.pairs.rejected))
    groups = found.rollout.groups.tolist()
    assert set(zip(first, second, strict=True)) == {
        (i, 12 + j) for i in range(12) for j in range(12) if groups[i] == groups[j]
    }
    assert made.pairs.weight.tolist() == pytest.approx([1 / 9] * 36)
    paid = torch.cat([found.rollout.scores, theirs])
    assert torch.allclose(made.pairs.target, torch.sigmoid(paid[first] - paid[second]))
    assert made.foreign.tolist() == [float(answer >= 12) for answer in answers]  # the bonus is on the reference's alone
    old = found.rollout.policy_logprobs
    assert torch.equal(experience.old_logprobs, torch.cat([old, old - 1]))


def groups_of(algorithm: RLAlgorithm, found: Collected, **more: object) -> tuple[GroupBatch, Experience]:
    experience, _ = GroupMethod(algorithm, wanted(algorithm, **more)).experience(0, found, 0.1)  # type: ignore[arg-type]
    made = experience.batch(experience.units, NO_TEXT)
    assert isinstance(made, GroupBatch)
    return made, experience


@pytest.mark.parametrize("whitened", [True, False])
def test_reinforce_pp_centres_over_the_rollout_and_keeps_the_sign(found: Collected, whitened: bool) -> None:
    made, _ = groups_of(ReinforcePP(whiten=whitened), replace_reference(found))
    rows = torch.repeat_interleave(found.rollout.scores, found.rollout.packed.target_lengths)
    centred = rows - rows.mean()
    assert torch.allclose(made.advantages, centred / rows.std(correction=0) if whitened else centred, atol=1e-4)


def replace_reference(found: Collected) -> Collected:
    """At the reference, where all that is paid is the score."""
    rollout = replace(found.rollout, reference_logprobs=found.rollout.policy_logprobs)
    return replace(found, rollout=rollout)


def test_a_step_counts_tokens_or_answers_as_the_algorithm_does(found: Collected) -> None:
    tokens, units = int(found.rollout.packed.target_lengths[[2, 5]].sum()), [(2,), (5,)]
    for algorithm, count in ((DAPO(), tokens), (RLOO(), 2)):
        made, experience = groups_of(algorithm, found)
        assert experience.count(units) == count
        assert float(made.kl_coefficient) == pytest.approx(0.1)
        assert experience.units == [(i,) for i in range(12)] and experience.with_text


def test_nash_md_pays_the_chance_to_beat_the_opponent(found: Collected) -> None:
    theirs = torch.zeros(12)
    gradient = GroupMethod(NashMD(), wanted(NashMD()))
    experience, metrics = NashMethod(gradient, Other(theirs)).experience(0, found, 0.0)  # type: ignore[arg-type]
    made = experience.batch(experience.units, NO_TEXT)
    assert isinstance(made, GroupBatch)
    won = torch.sigmoid(found.rollout.scores)
    siblings = torch.stack([won[found.rollout.groups == group].sum() for group in found.rollout.groups]) - won
    each = torch.repeat_interleave(won - siblings / 2, found.rollout.packed.target_lengths)
    assert torch.allclose(made.advantages, each, atol=1e-6)
    assert metrics["opponent/win_rate"] == pytest.approx(float(won.mean()))


@pytest.mark.parametrize(("iteration", "learns"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("whitened", [True, False])
def test_ppo_pushes_where_its_critic_was_surprised_and_only_after_the_warm_up(
    found: Collected, iteration: int, learns: bool, whitened: bool
) -> None:
    cfg = config(critic_warmup=2, whiten=whitened)
    who = critic()
    experience, _ = PPOMethod(who, cfg, ALONE).experience(iteration, found, 0.1)
    made = experience.batch(experience.units, NO_TEXT)
    assert isinstance(made, RolloutBatch)
    with torch.no_grad():
        values = who(found.rollout.packed)
    told = ppo_advantages(found.rollout, values, beta=0.1, gamma=cfg.algorithm.gamma, lam=cfg.algorithm.lam)
    centred = told.advantages - told.advantages.mean()
    advantages = centred / told.advantages.std(correction=0) if whitened else told.advantages
    assert torch.allclose(made.advantages, advantages * learns, atol=1e-4)
    assert torch.allclose(made.returns, told.returns, atol=1e-5) and torch.allclose(made.old_values, values, atol=1e-6)
    assert experience.with_text == learns
    assert experience.count([(2,), (5,)]) == int(found.rollout.packed.target_lengths[[2, 5]].sum())


def test_prompts_are_sampled_once_where_the_algorithm_asks_for_no_rounds() -> None:
    gradient = GroupMethod(NashMD(), wanted(NashMD()))
    nash = NashMethod(gradient, Other(torch.zeros(12)))  # type: ignore[arg-type]
    made = (gradient, nash, DuelMethod(XPO(), wanted(XPO())), PPOMethod(critic(), config(), ALONE))
    assert [method.rounds for method in made] == [1, 1, 1, 1]


@pytest.mark.parametrize("mixture", [0.0, 0.25, 1.0])
def test_a_mixture_lies_between_the_policy_and_the_reference(mixture: float) -> None:
    """At 0 the opponent is the policy as it is now, at 1 the reference."""
    begun, now, reference = policy(0), policy(1), policy(2)
    sampler = MixtureSampler(begun, reference, mixture)
    sampler.update(now)
    mixed, new, old = (parameters_to_vector(one.parameters()) for one in (sampler._mixed, now, reference))
    assert torch.allclose(mixed, (1 - mixture) * new + mixture * old, atol=1e-6)
    assert torch.equal(new, parameters_to_vector(policy(1).parameters()))  # who is trained stays what it is
    assert torch.equal(old, parameters_to_vector(policy(2).parameters()))
    assert not mixed.requires_grad
    params = SamplingParams(temperature=1.0, max_new_tokens=8, batch=4, eos_id=1, pad_id=0)
    alike = MixtureSampler(sampler._mixed, reference, 0.0)
    assert sampler.sample([(2, 3)] * 4, params, range(4)) == alike.sample([(2, 3)] * 4, params, range(4))


def test_a_fixed_opponent_stays_what_it_is() -> None:
    reference = policy(2)
    sampler = FixedSampler(reference)
    params = SamplingParams(temperature=1.0, max_new_tokens=8, batch=4, eos_id=1, pad_id=0)
    before = sampler.sample([(2, 3)] * 4, params, range(4))
    sampler.update(policy(1))
    assert sampler.sample([(2, 3)] * 4, params, range(4)) == before
    assert before == FixedSampler(policy(2)).sample([(2, 3)] * 4, params, range(4))


def test_a_reference_follows_by_the_share_that_ema_says() -> None:
    reference = policy(0)
    follow(reference, policy(1), 0.25)
    old, new = (parameters_to_vector(policy(seed).parameters()) for seed in (0, 1))
    assert torch.allclose(parameters_to_vector(reference.parameters()), 0.75 * old + 0.25 * new, atol=1e-6)


class Asked:
    """A sampler that keeps what it is asked."""

    def __init__(self) -> None:
        self.prompts: list[tuple[int, ...]] = []
        self.seeds: list[int] = []

    def sample(self, prompts: object, params: SamplingParams, seeds: list[int]) -> list[Sampled]:
        self.prompts, self.seeds = list(prompts), list(seeds)  # type: ignore[call-overload]
        return [Sampled((2,) * (1 + i % 7) + (1,), (-1.0,) * (2 + i % 7), "eos") for i in range(len(self.prompts))]

    def update(self, model: object) -> None: ...


def test_an_opponent_answers_each_prompt_as_often_with_seeds_of_its_own(found: Collected, run: Run) -> None:
    sampler = Asked()
    opponent = Opponent(players(), sampler, wanted(XPO()), run, ALONE)  # type: ignore[arg-type]
    answers = opponent.answers(5, found)
    assert sampler.prompts == [one.ids for one in found.asked]
    assert sampler.seeds == [run.seed_for("opponent", 5, i % 4 * 3 + i // 4) for i in range(12)]
    assert sorted(answers.groups) == sorted(found.rollout.groups.tolist())
    theirs = opponent.collected(5, found)
    assert theirs.rollout.scores.tolist() == answers.paid.tolist()
    assert theirs.rollout.groups.tolist() == answers.groups


def test_each_process_samples_the_opponents_answers_to_its_own_groups(
    found: Collected, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, asked one after the other: together they ask what one alone would, with the same seeds."""
    asked: list[tuple[tuple[int, ...], int]] = []
    monkeypatch.setattr("heedful.train.rollout.gather_object", lambda parts: parts)
    for process in (0, 1):
        sampler = Asked()
        one = type("One", (), {"num_processes": 2, "process_index": process, "autocast": ALONE.autocast})()
        Opponent(players(), sampler, wanted(XPO()), run, one).answers(5, found)  # type: ignore[arg-type]
        assert len(sampler.prompts) == 6
        asked += zip(sampler.prompts, sampler.seeds, strict=True)
    alone = Asked()
    Opponent(players(), alone, wanted(XPO()), run, ALONE).answers(5, found)  # type: ignore[arg-type]
    assert sorted(asked) == sorted(zip(alone.prompts, alone.seeds, strict=True))
