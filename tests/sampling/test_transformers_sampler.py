"""The fallback keeps the same laws, for models that the native sampler does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from heedful.data.packing import Example, pack
from heedful.models.attention import NAME
from heedful.models.heads import Policy
from heedful.run import console
from heedful.sampling import NativeSampler, SamplingParams, TransformersSampler, make_sampler

Tiny = Callable[..., PreTrainedModel]
PROMPTS = [[7], [3, 1, 4, 1, 5], [9, 2, 6], [9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3, 2], [11, 12]]
SEEDS = [101, 7, 3, 4, 12, 99]


def params(temperature: float = 1.0, batch: int = 4, ends: tuple[int, ...] = (5, 6, 7, 8, 9)) -> SamplingParams:
    return SamplingParams(
        temperature=temperature, max_new_tokens=12, batch=batch, eos_id=ends[0], pad_id=0, also_ends=ends[1:]
    )


def test_other_models_go_through_transformers_and_it_is_said(tiny: Tiny) -> None:
    with console.capture() as said:
        sampler = make_sampler(Policy(tiny("gpt_neox")))
    assert isinstance(sampler, TransformersSampler)
    assert "gpt_neox" in said.get()


def test_a_layer_that_is_not_plain_linear_goes_through_transformers(tiny: Tiny) -> None:
    class Adapted(nn.Linear):
        pass

    class AdaptedConv(Conv1D):
        pass

    llama, gpt2 = tiny("llama"), tiny("gpt2")
    llama.model.layers[1].mlp.up_proj = Adapted(16, 24)
    gpt2.transformer.h[1].mlp.c_fc = AdaptedConv(64, 16)
    for lm in (llama, gpt2):
        with console.capture():
            assert isinstance(make_sampler(Policy(lm)), TransformersSampler)


def test_greedy_tokens_are_those_of_generate(tiny: Tiny) -> None:
    lm = tiny("gpt_neox")
    expected = []
    for prompt in PROMPTS:
        out = lm.generate(
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, attention_mask=torch.ones(1, len(prompt))
        )
        expected.append(out[0, len(prompt) :].tolist())
    answers = TransformersSampler(Policy(lm)).sample(PROMPTS, params(temperature=0.0, ends=(-1,)), SEEDS)
    assert [list(a.token_ids) for a in answers] == expected


@pytest.mark.parametrize("family", ["gpt_neox", "llama", "mistral"])
def test_logprobs_are_the_trainers_and_attention_is_put_back(tiny: Tiny, family: str) -> None:
    policy = Policy(tiny(family))
    answers = TransformersSampler(policy).sample(PROMPTS * 3, params(0.8), list(range(18)))
    assert policy.lm.config._attn_implementation == NAME
    examples = [Example((*p, *a.token_ids), len(p)) for p, a in zip(PROMPTS * 3, answers, strict=True)]
    with torch.no_grad():
        trainer = policy(pack(examples), 0.8).tolist()
    assert [value for answer in answers for value in answer.logprobs] == pytest.approx(trainer, abs=1e-5)
    assert len({len(a.token_ids) for a in answers}) > 3


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_same_seeds_give_the_native_samplers_answers(tiny: Tiny, family: str) -> None:
    policy = Policy(tiny(family))
    slow = TransformersSampler(policy).sample(PROMPTS * 3, params(), list(range(18)))
    fast = NativeSampler(policy).sample(PROMPTS * 3, params(), list(range(18)))
    assert [a.token_ids for a in slow] == [a.token_ids for a in fast]
    assert [a.finish for a in slow] == [a.finish for a in fast]


def test_batch_size_changes_nothing(tiny: Tiny) -> None:
    sampler = TransformersSampler(Policy(tiny("gpt_neox")))
    together = sampler.sample(PROMPTS, params(batch=6), SEEDS)
    for answer, prompt, seed in zip(together, PROMPTS, SEEDS, strict=True):
        assert sampler.sample([prompt], params(batch=1), [seed])[0].token_ids == answer.token_ids
