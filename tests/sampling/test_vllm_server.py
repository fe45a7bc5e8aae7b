"""vLLM over its server: what goes over the wire, new weights, and sentences where it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

sys.path.insert(0, str(Path(__file__).parent))
from vllm_stand_in import StubServer, stub_server

from heedful.config.sampler import SamplerConfig
from heedful.errors import ResourceError
from heedful.models.heads import Policy
from heedful.sampling import NativeSampler, Sampler, SamplingParams, make_sampler

Tiny = Callable[..., PreTrainedModel]
PARAMS = SamplingParams(temperature=0.7, max_new_tokens=6, batch=4, eos_id=2, pad_id=0, also_ends=(3,))
PROMPTS, SEEDS = [[5], [6, 7, 8], [9]] * 4, list(range(2**63, 2**63 + 12))


@pytest.fixture
def server() -> Iterator[StubServer]:
    with stub_server() as running:
        yield running


def sampler_at(server: StubServer, policy: Policy, folder: str = "") -> Sampler:
    return make_sampler(policy, SamplerConfig(type="vllm_server", url=server.url + "/", folder=folder), rows=4)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_answers_are_those_of_the_policy_before_and_after_an_update(
    server: StubServer, tiny: Tiny, tmp_path: Path, temperature: float
) -> None:
    policy, params = Policy(tiny("llama")), replace(PARAMS, temperature=temperature)
    sampler = sampler_at(server, policy, str(tmp_path))
    for turn in range(2):
        found = sampler.sample(PROMPTS, params, SEEDS)
        ours = NativeSampler(policy).sample(PROMPTS, params, [seed & (2**63 - 1) for seed in SEEDS])
        assert [(a.token_ids, a.finish) for a in found] == [(a.token_ids, a.finish) for a in ours]
        assert [v for a in found for v in a.logprobs] == pytest.approx([v for a in ours for v in a.logprobs], abs=1e-4)
        assert len(server.engine.loaded) == turn + 1
        with torch.no_grad():
            for weight in policy.parameters():
                weight.mul_(1.5)
        sampler.update(policy)
    assert len(set(server.salts)) == 2  # nothing that was cached for the first weights is found with the second
    assert not list(tmp_path.iterdir())  # the weights are gone once they were read


def test_without_a_server_a_sentence_says_how_to_start_one(tiny: Tiny) -> None:
    with stub_server() as gone:
        url = gone.url
    sampler = make_sampler(Policy(tiny("llama")), SamplerConfig(type="vllm_server", url=url))
    with pytest.raises(ResourceError, match=r"no vLLM server answers at .*: start one there .*vllm serve") as caught:
        sampler.sample(PROMPTS, PARAMS, SEEDS)
    assert caught.value.exit_code == 4


def test_a_server_that_dies_among_answers_is_a_sentence(server: StubServer, tiny: Tiny) -> None:
    server.answers_left = 5
    with pytest.raises(ResourceError, match=r"vLLM server .*; what was trained is saved .* same command again"):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


def test_a_server_that_takes_no_weights_is_told_apart(server: StubServer, tiny: Tiny) -> None:
    server.develops = False
    with pytest.raises(ResourceError, match="takes no new weights: start it with VLLM_SERVER_DEV_MODE=1"):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


def test_what_is_no_vllm_server_is_a_sentence(tiny: Tiny, server: StubServer) -> None:
    server.models = []
    with pytest.raises(ResourceError, match="names no model, so it is no vLLM server: see sampler.url"):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


def test_what_the_server_says_of_an_error_is_passed_on(
    server: StubServer, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> None:
        raise OSError

    monkeypatch.setattr(server.engine, "load", load)
    with pytest.raises(ResourceError, match=r"refused /collective_rpc \(HTTP 500: no such folder\): it must serve"):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


def test_a_server_of_another_model_is_found_out(server: StubServer, tiny: Tiny, tmp_path: Path) -> None:
    tiny("llama", seed=1).save_pretrained(tmp_path)
    server.engine.load(tmp_path)
    server.engine.forgetful = True
    with pytest.raises(ResourceError, match="vLLM does not compute this policy"):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_ids": None}, "no token ids with log-probabilities: it must be vLLM 0.11 or later"),
        ({"logprobs": None}, "no token ids with log-probabilities"),
        (
            {"token_ids": [7], "logprobs": {"token_logprobs": [-1.0]}},
            "ended an answer with token 7, which is no end here: start it with --generation-config vllm",
        ),
    ],
)
def test_answers_in_other_shapes_are_refused(server: StubServer, tiny: Tiny, change: dict, words: str) -> None:
    server.change = change
    with pytest.raises(ResourceError, match=words):
        sampler_at(server, Policy(tiny("llama"))).sample(PROMPTS, PARAMS, SEEDS)


def test_a_missing_folder_for_the_weights_is_a_sentence(server: StubServer, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"weights can't be written for vLLM .*sampler.folder"):
        sampler_at(server, Policy(tiny("llama")), str(tmp_path / "nowhere")).sample(PROMPTS, PARAMS, SEEDS)


def test_settings_that_no_other_engine_reads_are_refused_there() -> None:
    with pytest.raises(ValidationError, match="url is read by type = 'vllm_server' alone"):
        SamplerConfig(url="http://elsewhere:1")
    with pytest.raises(ValidationError, match="folder is read by"):
        SamplerConfig(type="vllm", folder="here")
    with pytest.raises(ValidationError, match="leave precision out"):
        SamplerConfig(type="transformers", precision="bfloat16")
    with pytest.raises(ValidationError):
        SamplerConfig(type="vllm_server", url="elsewhere:1")
