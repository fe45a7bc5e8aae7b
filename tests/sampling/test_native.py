"""The native sampler's laws: transformers' own greedy tokens, the trainer's log-probabilities, seeds that decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import pytest
import torch
from scipy.stats import chisquare
from transformers import PreTrainedModel

from heedful.config.sampler import SamplerConfig
from heedful.data.packing import Example, pack
from heedful.errors import InputError, ResourceError
from heedful.models.heads import Policy
from heedful.ops.compiled.tiles import PANEL
from heedful.run import console
from heedful.sampling import NativeSampler, Sampled, SamplingParams, make_sampler, native
from heedful.sampling.compiled.states import whole

Tiny = Callable[..., PreTrainedModel]
PROMPTS = [[7], [3, 1, 4, 1, 5], [9, 2, 6], [9, 2, 6], [9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3, 2], [11, 12]]
SEEDS = [101, 7, 3, 4, 3, 12, 99]
NEVER = -1
ENDS = (5, 6, 7, 8, 9)  # about one token in eight
VOCABULARY = 41  # of the tiny models
NATIVE = ["llama", "llama3", "mistral", "qwen2", "qwen3", "gpt2"]


@pytest.fixture(params=["compiled", "torch's calls"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of decoding what the compiled one can."""
    if request.param != "compiled":
        monkeypatch.setattr(native, "can_compile", lambda policy: False)


both_ways = pytest.mark.usefixtures("way")


def params(temperature: float = 1.0, new: int = 12, batch: int = 3, ends: tuple[int, ...] = (NEVER,)) -> SamplingParams:
    return SamplingParams(
        temperature=temperature, max_new_tokens=new, batch=batch, eos_id=ends[0], pad_id=0, also_ends=ends[1:]
    )


def trainer_logprobs(
    policy: Policy, prompts: list[list[int]], answers: list[Sampled], temperature: float
) -> list[float]:
    examples = [Example((*p, *a.token_ids), len(p)) for p, a in zip(prompts, answers, strict=True)]
    with torch.no_grad():
        return policy(pack(examples), temperature).tolist()


def generate(lm: PreTrainedModel, prompt: list[int], new: int) -> list[int]:
    out = lm.generate(
        torch.tensor([prompt]), max_new_tokens=new, do_sample=False, attention_mask=torch.ones(1, len(prompt))
    )
    return out[0, len(prompt) :].tolist()


@both_ways
@pytest.mark.parametrize("family", NATIVE)
def test_greedy_tokens_are_those_of_generate(tiny: Tiny, family: str) -> None:
    lm = tiny(family)
    expected = [generate(lm, prompt, 12) for prompt in PROMPTS]
    sampler = make_sampler(Policy(lm))
    assert isinstance(sampler, NativeSampler)
    answers = sampler.sample(PROMPTS, params(temperature=0.0), SEEDS)
    assert [list(a.token_ids) for a in answers] == expected
    assert {a.finish for a in answers} == {"length"}


@both_ways
@pytest.mark.parametrize("family", NATIVE)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_the_trainers(tiny: Tiny, family: str, temperature: float) -> None:
    policy = Policy(tiny(family))
    prompts = PROMPTS * 4
    answers = NativeSampler(policy).sample(prompts, params(temperature, ends=ENDS), range(len(prompts)))
    sampled = [value for answer in answers for value in answer.logprobs]
    tolerance = 1e-5 / temperature  # logits are divided by it, and so are their rounding errors
    assert sampled == pytest.approx(trainer_logprobs(policy, prompts, answers, temperature), abs=tolerance)
    assert len({len(a.token_ids) for a in answers}) > 2, "rows should leave at different times"


def test_greedy_reports_logprobs_at_temperature_one(tiny: Tiny) -> None:
    policy = Policy(tiny("qwen3"))
    answers = NativeSampler(policy).sample(PROMPTS, params(temperature=0.0), SEEDS)
    sampled = [value for answer in answers for value in answer.logprobs]
    assert sampled == pytest.approx(trainer_logprobs(policy, PROMPTS, answers, 1.0), abs=1e-5)


@both_ways
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_an_answer_depends_on_its_seed_and_prompt_alone(tiny: Tiny, family: str) -> None:
    sampler = NativeSampler(Policy(tiny(family)))
    prompts, seeds = PROMPTS * 6, list(range(6 * len(PROMPTS)))
    together = sampler.sample(prompts, params(ends=ENDS, batch=64), seeds)
    few = sampler.sample(prompts, params(ends=ENDS, batch=4), seeds)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    turned = sampler.sample([prompts[i] for i in order], params(ends=ENDS, batch=5), [seeds[i] for i in order])
    alone = [sampler.sample([p], params(ends=ENDS), [s])[0] for p, s in zip(prompts, seeds, strict=True)]
    assert len({len(a.token_ids) for a in together}) > 5, "rows should leave at different times"
    for answers in (few, [turned[order.index(i)] for i in range(len(order))], alone):
        assert [a.token_ids for a in answers] == [a.token_ids for a in together]
        for one, other in zip(answers, together, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_a_longer_limit_only_adds_tokens(tiny: Tiny) -> None:
    sampler = NativeSampler(Policy(tiny("llama")))
    short, long = (sampler.sample(PROMPTS, params(new=new), SEEDS) for new in (4, 12))
    assert [a.token_ids for a in short] == [a.token_ids[:4] for a in long]


def test_two_tokens_have_the_models_joint_distribution(tiny: Tiny) -> None:
    policy = Policy(tiny("llama"))
    n, prompt = 20_000, [3, 1, 4]
    answers = NativeSampler(policy).sample([prompt] * n, params(2.0, new=2, batch=2000), list(range(n)))
    counts = Counter(answer.token_ids for answer in answers)
    pairs = list(product(range(VOCABULARY), repeat=2))
    with torch.no_grad():
        each = policy(pack([Example((*prompt, *pair), len(prompt)) for pair in pairs]), 2.0).view(-1, 2)
    expected = each.double().sum(-1).exp() * n
    assert float(expected.sum()) == pytest.approx(n, rel=1e-4)
    common = [i for i, value in enumerate(expected) if value >= 5]
    seen = [counts[pairs[i]] for i in common]
    rest = n - sum(seen)
    wanted = [float(expected[i]) for i in common]
    result = chisquare([*seen, rest], [*wanted, n - sum(wanted)])
    assert len(common) > 100
    assert result.pvalue > 0.01


@both_ways
def test_eos_ends_an_answer_and_stands_in_it_once(tiny: Tiny) -> None:
    sampler = NativeSampler(Policy(tiny("llama")))
    free = sampler.sample(PROMPTS * 20, params(new=20), list(range(140)))
    ended = sampler.sample(PROMPTS * 20, params(new=20, ends=ENDS), list(range(140)))
    for a, b in zip(free, ended, strict=True):
        ends = [i for i, token in enumerate(a.token_ids) if token in ENDS]
        cut = ends[0] + 1 if ends else 20
        assert b.token_ids == a.token_ids[:cut]
        assert len(b.logprobs) == cut
        assert b.finish == ("eos" if ends else "length")
    assert {a.token_ids[-1] for a in ended} > set(ENDS)


def test_pad_is_a_token_like_any_other(tiny: Tiny) -> None:
    answers = NativeSampler(Policy(tiny("llama"))).sample(PROMPTS * 20, params(), list(range(140)))
    assert any(0 in a.token_ids[:-1] for a in answers)


def test_context_cuts_answers_and_says_so_once(tiny: Tiny) -> None:
    sampler = NativeSampler(Policy(tiny("llama")))
    prompts = [[1] * 60, [2] * 63, [3]]
    with console.capture() as said:
        answers = sampler.sample(prompts, params(), [1, 2, 3])
        sampler.sample(prompts, params(), [1, 2, 3])
    assert [len(a.token_ids) for a in answers] == [4, 1, 12]
    assert [a.finish for a in answers] == ["length"] * 3
    assert said.get().count("context of 64 tokens") == 1


@pytest.mark.parametrize(("prompt", "message"), [([1] * 64, "64 tokens .* context is 64"), ([], "no tokens")])
def test_prompts_without_room_or_tokens_are_refused(tiny: Tiny, prompt: list[int], message: str) -> None:
    with pytest.raises(InputError, match=f"prompt 2 of 2 has {message}"):
        NativeSampler(Policy(tiny("llama"))).sample([[1], prompt], params(), [1, 2])


@pytest.mark.parametrize(
    ("family", "row"),  # layers, key heads, numbers for each, bytes: the longest prompt and answer have 21 tokens
    [
        ("gpt2", 3 * 4 * (2 * 21 * 4) * 4),
        ("llama", 3 * 2 * (whole(21) * 4 + 21 * PANEL) * 4),
    ],  # compiled: up to whole panels
)
def test_a_batch_that_does_not_fit_in_memory_is_foreseen(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, family: str, row: int
) -> None:
    sampler = NativeSampler(Policy(tiny(family)))
    monkeypatch.setattr("heedful.sampling.cache.memory_free_on", lambda _: 3.0 * row)
    assert len(sampler.sample(PROMPTS, params(batch=3), SEEDS)) == len(PROMPTS)
    with pytest.raises(ResourceError, match=r"4 rows of up to 21 tokens .* lower generation.batch to 3 or less"):
        sampler.sample(PROMPTS, params(batch=4), SEEDS)


def test_no_prompts_give_no_answers(tiny: Tiny) -> None:
    assert NativeSampler(Policy(tiny("llama"))).sample([], params(), []) == []


@both_ways
@pytest.mark.parametrize("family", NATIVE)
def test_training_is_seen_without_update(tiny: Tiny, family: str) -> None:
    policy = Policy(tiny(family))
    sampler = NativeSampler(policy)
    before = sampler.sample(PROMPTS, params(), SEEDS)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    after = sampler.sample(PROMPTS, params(), SEEDS)
    assert before != after
    sampled = [value for answer in after for value in answer.logprobs]
    assert sampled == pytest.approx(trainer_logprobs(policy, PROMPTS, after, 1.0), abs=1e-5)


@pytest.mark.parametrize("family", NATIVE)
def test_torchs_calls_in_bfloat16_are_near_the_trainers_log_probabilities(
    tiny: Tiny, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card: the policy itself stays as it is, and what it learns is seen by the next call."""
    monkeypatch.setattr(native, "can_compile", lambda policy: False)
    policy = Policy(tiny(family))
    sampler, prompts = NativeSampler(policy, torch.bfloat16), PROMPTS * 6
    for _ in range(2):
        answers = sampler.sample(prompts, params(), range(len(prompts)))
        sampled = torch.tensor([value for answer in answers for value in answer.logprobs])
        gaps = torch.tensor(trainer_logprobs(policy, prompts, answers, 1.0)) - sampled
        assert 1e-4 < float(gaps.abs().mean()) < 0.05
        assert abs(float(gaps.mean())) < 0.01
        assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)


@pytest.mark.parametrize(
    ("device", "has", "products"),
    [("cuda", True, torch.bfloat16), ("cuda", False, torch.float32), ("cpu", True, torch.float32)],
)
def test_on_a_card_that_has_it_every_family_samples_in_bfloat16_where_asked(
    tiny: Tiny, device: str, has: bool, products: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny("gpt2")
    monkeypatch.setattr(type(lm), "device", torch.device(device))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    sampler = make_sampler(Policy(lm), SamplerConfig(precision="bfloat16"))
    assert isinstance(sampler, NativeSampler)
    assert sampler._products == products


def test_update_changes_the_policy(tiny: Tiny) -> None:
    first, second = Policy(tiny("llama", seed=0)), Policy(tiny("llama", seed=1))
    sampler = NativeSampler(first)
    sampler.update(second)
    assert sampler.sample(PROMPTS, params(), SEEDS) == NativeSampler(second).sample(PROMPTS, params(), SEEDS)


@both_ways
def test_long_prompts_are_computed_in_parts(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = NativeSampler(Policy(tiny("llama")))
    whole = sampler.sample(PROMPTS, params(batch=7), SEEDS)
    monkeypatch.setattr("heedful.sampling.native.PREFILL_TOKENS", 4)
    assert [a.token_ids for a in sampler.sample(PROMPTS, params(batch=7), SEEDS)] == [a.token_ids for a in whole]
