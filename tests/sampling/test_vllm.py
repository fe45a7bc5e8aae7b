"""vLLM behind the Sampler: what it is given, when weights go over, and sentences where it fails."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).parent))
from vllm_stand_in import StandIn

from heedful.config.sampler import SamplerConfig
from heedful.errors import InputError, ResourceError
from heedful.models.heads import Policy
from heedful.sampling import NativeSampler, SamplingParams, TransformersSampler, make_sampler
from heedful.sampling.vllm_engine import VLLMSampler, failing, save_untied, while_alive

Tiny = Callable[..., PreTrainedModel]
PARAMS = SamplingParams(temperature=0.7, max_new_tokens=5, batch=4, eos_id=2, pad_id=0, also_ends=(3,))


def changed(policy: Policy, scale: float = 0.5) -> None:
    """Other weights in the same policy."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(scale * torch.randn_like(weight))


def test_answers_are_those_of_the_policy_and_end_by_any_end_token_or_by_length(tiny: Tiny) -> None:
    policy, engine = Policy(tiny("llama")), StandIn()
    prompts, seeds, hot = [[5], [6, 7], [8]] * 8, list(range(24)), replace(PARAMS, temperature=5.0)
    answers = VLLMSampler(policy, engine).sample(prompts, hot, seeds)
    ours = NativeSampler(policy).sample(prompts, hot, seeds)
    assert [(a.token_ids, a.finish) for a in answers] == [(a.token_ids, a.finish) for a in ours]
    assert {answer.finish for answer in answers} == {"eos", "length"}
    assert engine.asked[-24:] == [(p, 5, seed) for p, seed in zip(prompts, seeds, strict=True)]


def test_weights_go_over_once_and_again_after_an_update(tiny: Tiny) -> None:
    policy, engine = Policy(tiny("llama")), StandIn()
    sampler = VLLMSampler(policy, engine)
    for _ in range(2):
        sampler.sample([[5]], PARAMS, [2])
    assert len(engine.loaded) == 1
    changed(policy)
    sampler.update(policy)
    sampler.sample([[5]], PARAMS, [2])
    for name, value in policy.lm.state_dict().items():
        assert torch.equal(engine.loaded[1][name], value), name
        assert not torch.equal(engine.loaded[0][name], value), name


def test_an_engine_that_kept_older_weights_is_found_out(tiny: Tiny) -> None:
    policy, engine = Policy(tiny("llama")), StandIn()
    sampler = VLLMSampler(policy, engine)
    sampler.sample([[5]], PARAMS, [2])
    changed(policy)
    sampler.update(policy)
    engine.forgetful = True
    with pytest.raises(ResourceError, match="vLLM does not compute this policy: .* nats apart .*same command"):
        sampler.sample([[5]], PARAMS, [2])


def test_log_probabilities_from_before_the_temperature_are_found_out(tiny: Tiny) -> None:
    engine = StandIn()
    engine.raw = True
    with pytest.raises(ResourceError, match="--logprobs-mode processed_logprobs"):
        VLLMSampler(Policy(tiny("llama")), engine).sample([[5]], PARAMS, [2])


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_stands_by_itself_in_what_vllm_is_given(tied: bool, tiny: Tiny, tmp_path: Path) -> None:
    lm = tiny("llama")
    assert lm.config.tie_word_embeddings in (True, False)
    lm.config.tie_word_embeddings = tied
    lm.tie_weights()
    save_untied(lm, tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert not again.config.tie_word_embeddings
    assert again.lm_head.weight.data_ptr() != again.get_input_embeddings().weight.data_ptr()
    ids = torch.tensor([[4, 5, 6]])
    with torch.no_grad():
        assert torch.equal(again(ids).logits, lm.eval()(ids).logits)
    assert lm.config.tie_word_embeddings is tied


def test_adapters_are_refused(tiny: Tiny) -> None:
    lm = tiny("llama")
    lm.peft_config = {}
    with pytest.raises(InputError, match="leave lora out"):
        VLLMSampler(Policy(lm), StandIn()).sample([[5]], PARAMS, [1])


def test_a_missing_engine_is_a_sentence_and_exit_code_4(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ResourceError, match="vLLM can't be imported here .* or set sampler.type = 'native'") as caught:
        make_sampler(Policy(tiny("llama")), SamplerConfig(type="vllm"))
    assert caught.value.exit_code == 4


def test_an_engine_that_dies_is_a_sentence_that_says_how_to_go_on() -> None:
    words = "vLLM could not sample: RuntimeError: engine core died; .*same command"
    with pytest.raises(ResourceError, match=words), failing("sample"):
        raise RuntimeError("engine core died\nand more")


def test_nobody_waits_for_an_engine_whose_process_has_ended() -> None:
    """Nor longer than it takes for one that lives."""
    engine = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    engine.start()
    assert while_alive([engine], lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        while_alive([engine], lambda: 1 // 0)

    def killed() -> None:
        engine.kill()
        threading.Event().wait()

    with pytest.raises(RuntimeError, match="process has ended"):
        while_alive([engine], killed)


def test_transformers_can_be_chosen(tiny: Tiny) -> None:
    assert isinstance(make_sampler(Policy(tiny("llama")), SamplerConfig(type="transformers")), TransformersSampler)
