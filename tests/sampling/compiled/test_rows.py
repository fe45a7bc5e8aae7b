"""The compiled path as a whole: exact independence of company and threads, shared prompts, and when it is taken.

What it shares with the other path (greedy tokens, log-probabilities, ends, limits) `test_native.py` holds for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from transformers import PreTrainedModel

from heedful.config.sampler import SamplerConfig
from heedful.data.packing import Example, pack
from heedful.errors import DivergedError
from heedful.models.heads import Policy
from heedful.ops.compiled.tiles import HAS_PAIRS
from heedful.run import console
from heedful.sampling import NativeSampler, SamplingParams, make_sampler, native
from heedful.sampling.compiled import rows
from heedful.sampling.weights import can_compile

Tiny = Callable[..., PreTrainedModel]
PROMPTS = [[7], [3, 1, 4, 1, 5], [9, 2, 6], [9, 2, 6], [9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3, 2], [11, 12]] * 6
PARAMS = SamplingParams(temperature=1.0, max_new_tokens=40, batch=42, eos_id=5, pad_id=0, also_ends=(6,))
in_pairs = pytest.mark.skipif(not HAS_PAIRS, reason="no AVX512_BF16 here")
DTYPES = [torch.float32, pytest.param(torch.bfloat16, marks=in_pairs)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("products", DTYPES, ids=str)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3"])
def test_company_and_threads_change_no_bit(
    tiny: Tiny, family: str, products: torch.dtype, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "THREAD_WORK", 1)
    sampler = NativeSampler(Policy(tiny(family)), products)
    together = sampler.sample(PROMPTS, PARAMS, range(42))
    assert len({len(answer.token_ids) for answer in together}) > 5, "rows should leave at different times"
    torch.set_num_threads(1)
    assert [sampler.sample([p], PARAMS, [s])[0] for s, p in enumerate(PROMPTS)] == together
    monkeypatch.setattr(rows, "PART_ROWS", 5)
    monkeypatch.setattr(rows, "BURST", 3)
    torch.set_num_threads(2)
    few = SamplingParams(**{name: getattr(PARAMS, name) for name in PARAMS.__slots__} | {"batch": 16})
    assert sampler.sample(PROMPTS, few, range(42)) == together


def test_answers_are_those_of_the_other_path(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = NativeSampler(Policy(tiny("qwen2")))
    compiled = sampler.sample(PROMPTS, PARAMS, range(42))
    monkeypatch.setattr(native, "can_compile", lambda policy: False)
    plain = sampler.sample(PROMPTS, PARAMS, range(42))
    assert [answer.token_ids for answer in compiled] == [answer.token_ids for answer in plain]
    for one, other in zip(compiled, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@in_pairs
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_bfloat16_is_near_the_trainers_log_probabilities(tiny: Tiny, family: str) -> None:
    policy = Policy(tiny(family))
    answers = NativeSampler(policy, torch.bfloat16).sample(PROMPTS, PARAMS, range(42))
    packed = pack([Example((*p, *a.token_ids), len(p)) for p, a in zip(PROMPTS, answers, strict=True)])
    with torch.no_grad():
        gaps = policy(packed, 1.0) - torch.tensor([value for answer in answers for value in answer.logprobs])
    assert 1e-4 < float(gaps.abs().mean()) < 0.02
    assert abs(float(gaps.mean())) < 0.005


def test_a_processor_without_bfloat16_samples_in_float32_and_says_so(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.ops.compiled.tiles.HAS_PAIRS", False)
    policy = Policy(tiny("llama"))
    with console.capture() as said:
        sampler = make_sampler(policy, SamplerConfig(precision="bfloat16"))
    assert "sampling in float32" in " ".join(said.get().split())
    expected = NativeSampler(policy).sample(PROMPTS, PARAMS, range(42))
    assert sampler.sample(PROMPTS, PARAMS, range(42)) == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("weight", ["model.norm.weight", "model.layers.1.self_attn.k_proj.weight"])
def test_weights_that_diverged_are_said_so(tiny: Tiny, weight: str, temperature: float) -> None:
    lm = tiny("llama")
    with torch.no_grad():
        lm.get_parameter(weight)[0] = torch.nan
    params = SamplingParams(temperature=temperature, max_new_tokens=4, batch=4, eos_id=5, pad_id=0)
    with pytest.raises(DivergedError, match="not finite"):
        NativeSampler(Policy(lm)).sample([[1, 2, 3]] * 4, params, range(4))


@pytest.mark.parametrize("prompt", [[1, 41], [41, 1], [-1, 1]])
def test_tokens_that_the_model_does_not_know_are_refused(tiny: Tiny, prompt: list[int]) -> None:
    with pytest.raises(IndexError, match="0 to 40"):
        NativeSampler(Policy(tiny("llama"))).sample([prompt], PARAMS, [0])


def test_when_it_is_taken(tiny: Tiny) -> None:
    for family in ("llama", "llama3", "mistral", "qwen2", "qwen3"):
        assert can_compile(Policy(tiny(family)))
    assert not can_compile(Policy(tiny("gpt2")))
    assert not can_compile(Policy(tiny("llama").bfloat16()))
    gelu = tiny("llama")
    gelu.config.hidden_act = "gelu"
    assert not can_compile(Policy(gelu))
