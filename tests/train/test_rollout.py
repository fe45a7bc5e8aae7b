"""Rollouts and the source that turns them into optimizer steps, on a model of a few thousand parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from math import exp
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from heedful.algorithms.on_policy.ppo import ppo_objective
from heedful.batches import TextBatch
from heedful.config import KLControl, PPOConfig, RLConfig
from heedful.config.on_policy import PTX
from heedful.config.rl import GRPO, GSPO, RLOO, NashMD, PolicyGradient
from heedful.data.packing import Example, pack
from heedful.errors import DivergedError, InputError, ResumeError
from heedful.models.heads import ActorCritic, Policy, ValueModel
from heedful.ops.logprobs import sequence_sums
from heedful.records import Message, Prompt
from heedful.rewards import Score
from heedful.run import Run
from heedful.sampling import Sampled, SamplingParams, make_sampler
from heedful.stages.ppo import practice_of
from heedful.stages.practice import text_of
from heedful.train.clock import Clock
from heedful.train.group_method import GroupMethod
from heedful.train.kl_control import next_coefficient
from heedful.train.laws import sampler_agrees
from heedful.train.minibatches import Experience, micro_batches, share_of
from heedful.train.on_policy import OnPolicySource
from heedful.train.ppo_method import PPOMethod
from heedful.train.rollout import Asked, Collected, Players, ask, scored
from heedful.train.rollout_log import sequence_kl
from heedful.train.text_mix import TextMix

LIKED, EOS, VOCABULARY = 7, 1, 16
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
    max_position_embeddings=48,
    tie_word_embeddings=True,
    pad_token_id=0,
    eos_token_id=EOS,
    bos_token_id=None,
)


class Letters:
    """A Chat over single letters: token t is written as chr(97 + t)."""

    eos_id = document_end = EOS
    pad_id = 0

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(97 + i) for i in ids if i != EOS)

    def example_ids(self, prompt: Sequence[int], answer: Sequence[int]) -> Example:
        return Example((*prompt, *answer), len(prompt))

    def document(self, text: str) -> Example:
        return Example(tuple(ord(letter) - 97 for letter in text))


class Likes:
    """A rule as reward: how many letters of an answer are the liked one."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        counts = [text.count(chr(97 + LIKED)) for text in completions]
        return [Score(0.5 * count, {"raw": float(count)}) for count in counts]


def policy(seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    return Policy(LlamaForCausalLM(CONFIG))


def players() -> Players:
    acting, reference = policy(), policy().requires_grad_(False)
    return Players(acting, reference, make_sampler(acting), Likes(), Letters())  # type: ignore[arg-type]


def critic() -> ValueModel:
    torch.manual_seed(1)
    return ValueModel(LlamaModel(CONFIG), nn.Linear(16, 1))


def config(**algorithm: object) -> PPOConfig:
    return PPOConfig.model_validate(
        {
            "model": "m",
            "prompts": "p",
            "rewards": {"model": "r", "missing_eos_penalty": 0.25},
            "algorithm": {"iterations": 3, "prompts": 12, "epochs": 2, "minibatches": 3, "critic_warmup": 0}
            | algorithm,
            "generation": {"max_new_tokens": 8},
        }
    )


def source(run: Run, cfg: PPOConfig, who: Players | None = None, documents: Sequence[str] = ()) -> OnPolicySource:
    who = who or players()
    asked = [Asked(Prompt(id=str(i), messages=(Message("user", str(i)),)), (2 + i % 5, 3)) for i in range(20)]
    text = TextMix(documents, who.chat, cfg.ptx.tokens, 48)
    accelerator = Accelerator(cpu=True)
    method = PPOMethod(critic(), cfg, accelerator)
    return OnPolicySource(who, method, asked, text, practice_of(cfg), cfg, run, accelerator, starts_at_reference=True)


def learned(made: OnPolicySource, found: Collected) -> tuple[Experience, dict[str, float]]:
    """What PPO makes of a first rollout, with β = .1."""
    experience, metrics = made.method.experience(0, found, 0.1)
    return experience, dict(metrics)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    yield Run(tmp_path / "ppo", "ppo", seed=3)


def learn(made: OnPolicySource, start: int = 0, lr: float = 1e-2, until: int = 10**9) -> list[dict[str, float]]:
    """What `fit` does, without its care: every step's gradient, Adam, and the logged lines."""
    model = ActorCritic(made.players.policy, made.method.critic)
    objective = ppo_objective(made.config.algorithm, made.config.generation.temperature)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=1e-5)
    logged = []
    for number, step in enumerate(made.steps(start), start=start):
        if number >= until:
            break
        optimizer.zero_grad()
        for batch in step.batches:
            (objective(model, batch).loss / step.count).backward()
        optimizer.step()
        if step.metrics:
            logged.append(dict(step.metrics) | step.clock.row())
    return logged


def test_a_rollout_is_what_was_sampled_and_what_the_trainer_reads(run: Run) -> None:
    made = source(run, config())
    found = made.collect(0)
    blocks = [list(block) for _, block in groupby(range(len(found.asked)), key=lambda i: found.asked[i].ids)]
    assert len(blocks) == len({one.ids for one in found.asked})  # answers to a prompt stand together
    longest = [max(len(found.examples[i].ids) for i in block) for block in blocks]
    assert longest == sorted(longest)
    for one, sample, example in zip(found.asked, found.samples, found.examples, strict=True):
        assert example.ids == (*one.ids, *sample.token_ids)
    assert found.rollout.packed.target_lengths.tolist() == [len(sample.token_ids) for sample in found.samples]
    with torch.no_grad():
        assert torch.allclose(made.players.policy(found.rollout.packed), found.rollout.policy_logprobs, atol=1e-5)
    assert found.sampler_gap < 1e-4
    assert float(found.reading.kl.abs().max()) < 1e-6  # the policy is the reference
    assert bool((found.reading.entropy > 0).all())


def test_old_reference_and_sampler_share_the_temperature(run: Run) -> None:
    warm = replace_section(config(), generation={"temperature": 0.5, "max_new_tokens": 8})
    found = source(run, warm).collect(0)  # would break the sampler's law if the trainer's were at 1
    assert found.sampler_gap < 1e-4
    assert torch.allclose(found.rollout.policy_logprobs, found.rollout.reference_logprobs, atol=1e-6)


def replace_section(cfg: PPOConfig, **sections: dict[str, object]) -> PPOConfig:
    return PPOConfig.model_validate(cfg.model_dump() | sections)


def test_every_epoch_holds_every_answer_once_in_a_fresh_order(run: Run) -> None:
    made = source(run, config())
    steps = [step for _, step in zip(range(6), made.steps(0), strict=False)]
    assert [step.last_of_boundary for step in steps] == [False] * 5 + [True]
    assert [bool(step.metrics) for step in steps] == [False] * 5 + [True]

    def answers(part: list) -> list[tuple[int, ...]]:
        found = []
        for step in part:
            for batch in step.batches:
                found += [tuple(ids.tolist()) for ids in batch.packed.input_ids.split(batch.packed.lengths.tolist())]
        return found

    first, second = answers(steps[:3]), answers(steps[3:])
    assert sorted(first) == sorted(second)
    assert len(first) == 12
    assert first != second
    for step in steps:
        assert step.count == sum(len(batch.old_logprobs) for batch in step.batches)


def test_advantages_are_whitened_over_the_whole_rollout(run: Run) -> None:
    made = source(run, config())
    steps = [step for _, step in zip(range(3), made.steps(0), strict=False)]
    whole = torch.cat([batch.advantages for step in steps for batch in step.batches])
    assert float(whole.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(whole.square().mean()) == pytest.approx(1.0, abs=1e-4)


def test_any_cut_of_a_minibatch_gives_the_same_gradient(run: Run) -> None:
    """Text mixed in as well: 1 micro-batch equals many."""
    made = source(run, replace_section(config(), ptx={"data": "d", "coefficient": 0.7}))
    found = made.collect(0)
    moved = replace(found, rollout=replace(found.rollout, policy_logprobs=found.rollout.policy_logprobs + 0.1))
    experience, _ = learned(made, moved)  # ratios other than 1
    text = [Example((3, 4, 5)), Example((7, 8, 9, 10, 11)), Example((2, 2))]
    model = ActorCritic(made.players.policy, made.method.critic)
    gradients, counts = [], []
    for tokens, processes in ((10_000, 1), (25, 1), (25, 2), (10_000, 5)):
        batches, counted = [], 0.0
        for process in range(processes):
            share = (process, processes)
            mine, count = micro_batches(
                experience, list(range(12)), text, text_coefficient=0.7, tokens=tokens, share=share
            )
            batches, counted = [*batches, *mine], counted + count
            assert all(len(batch.text.packed.input_ids) for batch in mine)  # all run the policy equally often
        assert counted == sum(example.targets for example in experience.examples)
        counts.append(len(batches))
        outputs = [ppo_objective(made.config.algorithm, 1.0)(model, batch) for batch in batches]
        total = sum(float(output.count) for output in outputs)
        loss = torch.stack([output.loss for output in outputs]).sum() / total
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert counts[0] == 1
    assert counts[1] > 2
    for one, *others in zip(*gradients, strict=True):
        assert all(torch.allclose(one, many, atol=1e-6) for many in others)


def test_processes_share_a_minibatch_by_prompts_where_there_are_enough(run: Run) -> None:
    made = source(run, config())
    experience, _ = learned(made, made.collect(0))
    units = [7, 0, 3, 9, 4, 11]
    assert share_of(experience, units, 0, 1) == sorted(units)
    prompt = {unit: experience.examples[unit].ids[: experience.examples[unit].answer] for unit in units}
    kinds = len(set(prompt.values()))
    for processes in (2, kinds, len(units)):
        shares = [share_of(experience, units, process, processes) for process in range(processes)]
        assert sorted(unit for share in shares for unit in share) == sorted(units)
        assert all(shares)
        if processes <= kinds:
            assert sum(len({prompt[unit] for unit in share}) for share in shares) == kinds  # none is cut apart


def test_text_weighs_gamma_times_its_mean_log_likelihood(run: Run) -> None:
    made = source(run, config())
    found = made.collect(0)
    experience, _ = learned(made, found)
    text = [Example((3, 4, 5)), Example((7, 8))]
    batches, _ = micro_batches(experience, list(range(12)), text, text_coefficient=0.7, tokens=30)
    model = ActorCritic(made.players.policy, made.method.critic)
    outputs = [ppo_objective(made.config.algorithm, 1.0)(model, batch) for batch in batches]
    share = sum(output.metrics["loss/text"] for output in outputs) / sum(output.count for output in outputs)
    with torch.no_grad():
        logprobs = torch.cat(
            [made.players.policy(batch.text.packed) for batch in batches if len(batch.text.packed.targets)]
        )
    assert len(logprobs) == 3
    assert float(share) == pytest.approx(-0.7 * float(logprobs.mean()), rel=1e-5)


def test_text_is_drawn_by_the_step_and_cut_to_fit() -> None:
    mix = TextMix(["c" * 60, "defg", "hi"], Letters(), tokens=40, context=48)  # type: ignore[arg-type]
    drawn = mix.draw(np.random.default_rng(5))
    assert drawn == mix.draw(np.random.default_rng(5))
    assert sum(len(example.ids) for example in drawn) >= 40
    assert max(len(example.ids) for example in drawn) <= 40
    assert TextMix([], Letters(), 40, 48).draw(np.random.default_rng(5)) == []  # type: ignore[arg-type]


def test_text_that_is_cut_is_counted_and_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    long, short = run.path / "long.jsonl", run.path / "short.jsonl"
    rows = [json.dumps({"text": text}) + "\n" for text in ("hi", "e" * 48, "d" * 49, "c" * 80)]
    long.write_text("".join(rows))
    short.write_text("".join(rows[:2]))
    for path in (long, short):
        text_of(config().model_copy(update={"ptx": PTX(data=str(path), tokens=64, coefficient=1)}), players(), run)
    assert said == [
        "2 of the first 4 documents of ptx.data have more than 48 tokens "
        "(the lesser of ptx.tokens and the model's context): of these only the beginning is read"
    ]


@pytest.mark.parametrize(
    ("algorithm", "weight"),
    [(GRPO(), lambda n: 0.1), (RLOO(), lambda n: 0.1 * n), (NashMD(), lambda n: 0.1 * n), (GSPO(), lambda n: 0.1)],
)
def test_a_sampler_that_is_not_the_policy_is_corrected_for_by_the_algorithms_own_ratio(
    run: Run, algorithm: PolicyGradient, weight: Callable[[int], float]
) -> None:
    """The sampler's log-probabilities are 0.1 too low everywhere."""
    found = source(run, config()).collect(0)
    found = replace(found, sampler_logprobs=found.rollout.policy_logprobs - 0.1)
    for cap in (1.4, 0.0):
        wanted = RLConfig.model_validate(
            {"model": "m", "prompts": "p", "rewards": {"model": "r"}, "algorithm": algorithm, "importance_cap": cap}
        )
        made, metrics = GroupMethod(algorithm, wanted).experience(0, found, 0.1)
        weights = made.batch(made.units, TextBatch(pack([]), torch.tensor(0.0))).importance  # type: ignore[union-attr]
        lengths = [n for n in found.rollout.packed.target_lengths.tolist() for _ in range(n)]
        each = [min(exp(weight(n)), cap) if cap else 1.0 for n in lengths]
        assert weights.tolist() == pytest.approx(each, rel=1e-4)
        assert ("sampler/importance" in metrics) == bool(cap)
        if cap:
            assert metrics["sampler/importance"] == pytest.approx(sum(each) / len(each), rel=1e-4)
            assert metrics["sampler/truncated"] == pytest.approx(sum(e == cap for e in each) / len(each))


def test_ppo_corrects_token_by_token(run: Run) -> None:
    made = source(run, config(importance_cap=1.2))
    found = made.collect(0)
    shift = torch.where(torch.arange(len(found.sampler_logprobs)) % 2 == 0, 0.1, 0.3)
    found = replace(found, sampler_logprobs=found.rollout.policy_logprobs - shift)
    assert found.sampler_gap == pytest.approx(0.3, abs=1e-5)
    experience, metrics = learned(made, found)
    batch = experience.batch(experience.units, TextBatch(pack([]), torch.tensor(0.0)))
    wanted = shift.exp().clamp(max=1.2)
    torch.testing.assert_close(batch.importance, wanted, rtol=1e-4, atol=0.0)  # type: ignore[union-attr]
    assert metrics["sampler/truncated"] == pytest.approx(float((shift > 0.2).float().mean()))


def test_a_criterion_called_mean_hides_no_figure(run: Run) -> None:
    made = source(run, config())
    found = made.collect(0)
    found = replace(found, scores=[Score(score.value, {"mean": 7.0}) for score in found.scores])
    _, metrics = learned(made, found)
    assert metrics["reward/mean"] == pytest.approx(sum(score.value for score in found.scores) / 12)
    assert metrics["reward/model/mean"] == 7.0


def test_metrics_by_hand(run: Run) -> None:
    made = source(run, config())
    who = made.players
    with torch.no_grad():  # away from the reference
        for parameter in who.policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    made.starts_at_reference = False
    found = made.collect(0)
    _, metrics = learned(made, found)
    lengths = found.rollout.packed.target_lengths
    log_ratio = found.rollout.policy_logprobs - found.rollout.reference_logprobs
    scores = torch.tensor([score.value for score in found.scores])
    assert metrics["reward/mean"] == pytest.approx(float(scores.mean()))
    assert metrics["reward/raw"] == pytest.approx(2 * float(scores.mean()))
    assert metrics["kl/k1"] == pytest.approx(float(sequence_sums(log_ratio, lengths).mean()), rel=1e-5)
    assert metrics["reward/total"] == pytest.approx(
        float(found.rollout.scores.mean()) - 0.1 * metrics["kl/k1"], abs=1e-6
    )
    assert metrics["kl/reference"] == pytest.approx(float(sequence_kl(found).mean()))
    assert metrics["kl/reference"] > 0.01
    assert metrics["answers/length"] == pytest.approx(float(lengths.float().mean()))
    cut = [len(sample.token_ids) == 8 and sample.token_ids[-1] != EOS for sample in found.samples]
    assert metrics["answers/eos"] == pytest.approx(1 - sum(cut) / 12)


def test_exact_kl_is_what_its_estimates_estimate(run: Run) -> None:
    """On many answers of a policy away from its reference, k1 and k3 come near the exact sum."""
    made = source(run, config(prompts=1500, minibatches=1))
    made.starts_at_reference = False
    with torch.no_grad():
        for parameter in made.players.policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    found = made.collect(0)
    _, metrics = learned(made, found)
    assert metrics["kl/reference"] > 0.05
    assert metrics["kl/k1"] == pytest.approx(metrics["kl/reference"], rel=0.25)
    assert metrics["kl/k3"] == pytest.approx(metrics["kl/reference"], rel=0.1)


def test_each_pass_over_the_prompts_is_a_fresh_permutation(run: Run) -> None:
    made = source(run, config())
    drawn = [index for iteration in range(5) for index in made._draw(iteration)]  # 60 draws from 20 prompts
    for epoch in range(3):
        assert sorted(drawn[20 * epoch : 20 * epoch + 20]) == list(range(20))
    assert drawn[:20] != drawn[20:40]


def test_practice_raises_the_reward(run: Run) -> None:
    made = source(run, config(iterations=15, prompts=64, minibatches=2))
    logged = learn(made)
    assert len(logged) == 15
    assert logged[0]["reward/mean"] < 0.4
    assert logged[-1]["reward/mean"] > logged[0]["reward/mean"] + 0.5
    assert logged[-1]["kl/reference"] > 0.1
    assert logged[-1]["value/explained_variance"] > logged[0]["value/explained_variance"]


def test_a_stronger_leash_stays_nearer(run: Run, tmp_path: Path) -> None:
    free = learn(source(run, config(iterations=8, prompts=64)))[-1]
    held_config = replace_section(config(iterations=8, prompts=64), kl={"coefficient": 2.0})
    held = learn(source(Run(tmp_path / "held", "ppo", seed=3), held_config))[-1]
    assert held["kl/reference"] < 0.5 * free["kl/reference"]
    assert held["reward/mean"] < free["reward/mean"]


def test_while_the_critic_warms_up_the_policy_stays(run: Run) -> None:
    made = source(
        run, replace_section(config(critic_warmup=2), ptx={"data": "d", "coefficient": 1.0}), documents=["defg"] * 3
    )
    before = [parameter.clone() for parameter in made.players.policy.parameters()]
    critic = [parameter.clone() for parameter in made.method.critic.parameters()]
    learn(made, until=12)  # two iterations
    assert all(torch.equal(a, b) for a, b in zip(before, made.players.policy.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(critic, made.method.critic.parameters(), strict=True))
    learn(made, start=12)
    assert not all(torch.equal(a, b) for a, b in zip(before, made.players.policy.parameters(), strict=True))


def test_beginning_at_an_iteration_gives_what_an_unbroken_run_gives(run: Run, tmp_path: Path) -> None:
    """Same weights, same state: the steps of the second iteration are the same, sample for sample."""
    adaptive = replace_section(config(), kl={"type": "adaptive", "target": 0.01, "horizon": 100})
    whole = source(run, adaptive)
    steps = whole.steps(0)
    first = [next(steps) for _ in range(6)]
    state = json.loads(json.dumps(whole.state_dict()))  # as a checkpoint at the boundary would hold it
    rest = [next(steps) for _ in range(6)]
    assert first[-1].metrics["kl/coefficient"] == 0.1
    assert rest[-1].metrics["kl/coefficient"] != 0.1

    resumed = source(Run(tmp_path / "again", "ppo", seed=3), adaptive)
    resumed.load_state_dict(state)
    again = resumed.steps(6)
    for expected in rest:
        found = next(again)
        assert found.count == expected.count
        for one, other in zip(found.batches, expected.batches, strict=True):
            assert torch.equal(one.packed.input_ids, other.packed.input_ids)
            assert torch.equal(one.advantages, other.advantages)
        plain = [{k: v for k, v in m.items() if not k.startswith("time/")} for m in (found.metrics, expected.metrics)]
        assert plain[0] == plain[1]


def test_it_can_begin_nowhere_else(run: Run) -> None:
    with pytest.raises(ResumeError, match="inside an iteration"):
        next(source(run, config()).steps(5))


def test_leaving_the_kl_budget_ends_the_run_with_the_last_weights_within_it(run: Run) -> None:
    made = source(run, replace_section(config(iterations=30, prompts=48), kl={"stop": 0.3, "coefficient": 0.0}))
    logged = learn(made, lr=3e-2)
    assert 0 < len(logged) < 30
    assert "beyond kl.stop = 0.3" in made.stopped
    assert made.last_good.iteration == len(logged) - 1
    assert all(line["kl/reference"] <= 0.3 for line in logged)
    made.last_good.restore(made.players.policy)
    again = made.collect(made.last_good.iteration)
    assert float(sequence_kl(again).mean()) == pytest.approx(made.last_good.kl)
    assert made.last_good.kl == pytest.approx(logged[-1]["kl/reference"])


def test_a_policy_that_starts_beyond_the_budget_is_refused(run: Run) -> None:
    made = source(run, replace_section(config(), kl={"stop": 0.01}))
    made.starts_at_reference = False
    with torch.no_grad():
        made.players.policy.lm.model.embed_tokens.weight.mul_(3.0)
    with pytest.raises(DivergedError, match="starts .* nats from the reference"):
        next(made.steps(0))


def test_a_policy_said_to_start_at_the_reference_must(run: Run) -> None:
    made = source(run, config())
    with torch.no_grad():
        made.players.policy.lm.model.embed_tokens.weight.mul_(1.1)
    with pytest.raises(DivergedError, match="must have KL 0"):
        next(made.steps(0))


def test_a_sampler_of_another_model_is_found_out(run: Run) -> None:
    who = players()

    class Other:
        """Samples from other weights than the trainer reads."""

        def __init__(self) -> None:
            self.inner = make_sampler(policy(seed=9))

        def sample(self, *args: object) -> list[Sampled]:
            return self.inner.sample(*args)  # type: ignore[arg-type]

        def update(self, model: Policy) -> None: ...

    made = source(run, config(), replace(who, sampler=Other()))
    with pytest.raises(DivergedError, match="sampler's and the trainer's"):
        next(made.steps(0))


@pytest.mark.parametrize("precisions", [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_where_either_side_is_in_bfloat16_they_may_differ_by_a_tenth_of_a_nat(precisions: tuple[str, str]) -> None:
    """On the whole: among many tokens some are further apart, and more so the more there are."""
    usual = torch.full((10_000,), 0.09)
    usual[0] = 0.6
    sampler_agrees(usual, *precisions)
    sampler_agrees(torch.tensor([]), *precisions)
    for gaps, found in (
        (-usual * 0.11 / 0.09, precisions),
        (torch.tensor([0.0, float("nan")]), precisions),
        (torch.tensor([0.0] * 10_000 + [1.1e-4]), ("float32", "float32")),
    ):
        with pytest.raises(DivergedError, match="sampler's and the trainer's"):
            sampler_agrees(gaps, *found)


def test_a_forward_pass_that_depends_on_packing_is_found_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(run, config())
    forward = made.players.policy.forward
    monkeypatch.setattr(made.players.policy, "forward", lambda batch, t=1.0: forward(batch, t) + 0.01)
    with pytest.raises(DivergedError, match="ratio 1"):
        next(made.steps(0))


def test_not_a_number_stops_the_run(run: Run) -> None:
    made = source(run, config())

    class Broken:
        def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
            return [Score(float("nan"))] * len(prompts)

    made.players = replace(made.players, reward=Broken())
    with pytest.raises(DivergedError, match="not finite"):
        next(made.steps(0))


def test_too_few_prompts_for_the_minibatches_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="raise prompts or lower minibatches"):
        source(run, config(prompts=2, minibatches=3))


def test_samples_are_logged_once_even_when_an_iteration_is_done_again(run: Run) -> None:
    made = source(run, config(iterations=6))
    for iteration in (0, 5, 0, 5, 5):
        made.starts_at_reference = False
        made.collect(iteration)
    rows = [json.loads(line) for line in (run.path / "samples.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0] * 4 + [5] * 4
    assert [row["step"] for row in rows] == [0] * 4 + [30] * 4
    assert rows[0]["prompt"][0]["role"] == "user"
    assert {"completion", "score", "kl", "finish"} <= rows[0].keys()


def test_kl_controller_steers_towards_its_target() -> None:
    adaptive = KLControl(type="adaptive", target=2.0, horizon=1000)
    assert next_coefficient(adaptive, 0.1, kl=2.2, episodes=100) == pytest.approx(0.1 * 1.01)  # e = .1
    assert next_coefficient(adaptive, 0.1, kl=9.0, episodes=100) == pytest.approx(0.1 * 1.02)  # e clipped to .2
    assert next_coefficient(adaptive, 0.1, kl=0.0, episodes=100) == pytest.approx(0.1 * 0.98)
    assert next_coefficient(KLControl(type="fixed"), 0.1, kl=50.0, episodes=100) == 0.1


def test_answers_keep_prompts_and_answers_together(run: Run) -> None:
    """Rows are reordered by length; each stays with its own prompt, seed and score."""
    who = players()
    asked = [Asked(Prompt(id=str(i), messages=()), tuple(range(2, 2 + 1 + i))) for i in range(6)]
    params = SamplingParams(temperature=1.0, max_new_tokens=8, batch=4, eos_id=EOS, pad_id=0)
    sampled = ask(who, asked, list(range(6)), params, Clock())
    found = scored(who, asked, list(range(6)), sampled, params, config().rewards, Clock(), Accelerator(cpu=True))
    assert found.groups == [int(one.prompt.id) for one in found.asked]
    for one, sample, text, score in zip(found.asked, found.samples, found.texts, found.scores, strict=True):
        index = int(one.prompt.id)
        assert one.ids == asked[index].ids
        alone = who.sampler.sample([asked[index].ids], params, [index])[0]
        assert alone.token_ids == sample.token_ids
        assert text == Letters().decode(sample.token_ids)
        assert score.value == 0.5 * text.count(chr(97 + LIKED))


def test_rewards_are_read_in_the_precision_of_training() -> None:
    """They are half of a rollout's forward passes: several networks, where policy and reference are two."""
    seen = []

    class Looks(Likes):
        def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().score(prompts, completions)

    who = replace(players(), reward=Looks())
    asked = [Asked(Prompt(id="0", messages=()), (2, 3))]
    params = SamplingParams(temperature=1.0, max_new_tokens=4, batch=1, eos_id=EOS, pad_id=0)
    sampled = ask(who, asked, [0], params, Clock())
    for half in (True, False):
        one = SimpleNamespace(num_processes=1, autocast=partial(torch.autocast, "cpu", torch.bfloat16, enabled=half))
        scored(who, asked, [0], sampled, params, config().rewards, Clock(), one)  # type: ignore[arg-type]
    assert seen == [True, False]
