"""vLLM itself behind the Sampler, on this machine and over its server: `make vllm-tests`. Skipped where it isn't there.

Log-probabilities are held to the trainer's, before and after updates; PPO learns from its answers; and where the engine
dies in a rollout, one sentence says so, and the same command goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

if not find_spec("vllm"):
    pytest.skip("vLLM is not installed here", allow_module_level=True)

import httpx
import psutil

sys.path.append(str(Path(__file__).parents[1] / "stages"))
from rl_house import build, ppo_config

from heedful.config import Architecture
from heedful.config.sampler import SamplerConfig
from heedful.data.packing import Example, pack
from heedful.errors import ResourceError
from heedful.models.heads import Policy
from heedful.models.loading import load_policy
from heedful.run import Run, read_metrics
from heedful.sampling import NativeSampler, Sampler, SamplingParams, make_sampler
from heedful.sampling.vllm_engine import InProcess
from heedful.sampling.vllm_server import Server
from heedful.stages.ppo import ppo

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
START_SECONDS = 180


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of a shape that vLLM computes: its attention has heads of 32 and more."""
    shape = Architecture(vocabulary=300, hidden=64, layers=2, heads=2, kv_heads=2, feedforward=64, context=64)
    return build(tmp_path_factory.mktemp("house"), shape)


class Served:
    """vLLM's server as docs/engines.md starts it, on a free port."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.model, self.log, self.url = model, log, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        options = ["--enforce-eager", "--logprobs-mode", "processed_logprobs", "--dtype", "float32"]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model), *options]
        settings = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
        with self.log.open("a") as words:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                env=os.environ | settings,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.5)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def served(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(house / "sft", tmp_path_factory.mktemp("server") / "log")
    yield server
    server.kill()


@pytest.fixture(params=["vllm", "vllm_server"])
def engine(request: pytest.FixtureRequest, served: Served) -> SamplerConfig:
    return settings_of(request.param, served)


def settings_of(kind: str, served: Served) -> SamplerConfig:
    return SamplerConfig.model_validate({"type": kind} | ({"url": served.url} if kind == "vllm_server" else {}))


def asked(policy: Policy, sampler: Sampler, params: SamplingParams) -> list[tuple[tuple[int, ...], str]]:
    """The sampler's answers, when its log-probabilities of them are the trainer's."""
    prompts, seeds = [[9, 8, 7], [5, 6], [11] * 9] * 3, list(range(2**63, 2**63 + 9))
    answers = sampler.sample(prompts, params, seeds)
    examples = [Example((*p, *a.token_ids), len(p)) for p, a in zip(prompts, answers, strict=True)]
    with torch.no_grad():
        trainers = policy(pack(examples), params.temperature or 1.0)
    told = torch.tensor([value for answer in answers for value in answer.logprobs])
    assert float((told - trainers).abs().max()) < 1e-4
    return [(answer.token_ids, answer.finish) for answer in answers]


def test_log_probabilities_are_the_trainers_and_greedy_answers_the_native_samplers(
    engine: SamplerConfig, house: Path
) -> None:
    """Before and after two updates, at three temperatures."""
    policy, chat = load_policy(house / "sft", device="cpu")
    params = SamplingParams(0.0, 12, 8, eos_id=chat.eos_id, pad_id=0)
    sampler, native = make_sampler(policy, engine, rows=8), NativeSampler(policy)
    for _ in range(3):
        assert asked(policy, sampler, params) == asked(policy, native, params)
        for temperature in (0.7, 1.0):
            asked(policy, sampler, replace(params, temperature=temperature))
        with torch.no_grad():
            for weight in policy.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
        sampler.update(policy)
        native.update(policy)


def trained(house: Path, path: Path, engine: SamplerConfig) -> list[dict[str, float]]:
    """PPO whose answers come from the engine; the lines of its rollouts."""
    practice = {"iterations": 3, "prompts": 8, "epochs": 1, "minibatches": 2, "critic_warmup": 0}
    config = ppo_config(
        house, sampler=engine.model_dump(), algorithm=practice, training={"checkpoint_every": 1}, optim={"lr": 1e-3}
    )
    run = Run(path, "ppo", seed=1)
    ppo(config, run)
    return [row for row in read_metrics(run.path / "metrics.jsonl") if "sampler/gap" in row]


def test_ppo_learns_from_its_answers(engine: SamplerConfig, house: Path, tmp_path: Path) -> None:
    rows = trained(house, tmp_path / "ppo", engine)
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(row["sampler/gap"] < 1e-4 for row in rows)
    assert rows[-1]["kl/reference"] > 0, "the weights that it sampled from at the end are not the first ones"
    if engine.type == "vllm":
        assert len(engines()) == 1, "those of former stages have ended"


def engines() -> list[psutil.Process]:
    """The processes of engines that this one began."""
    return [
        child
        for child in psutil.Process().children()
        if child.name().startswith("VLLM") and child.status() != psutil.STATUS_ZOMBIE
    ]


def dying(monkeypatch: pytest.MonkeyPatch, engine: type, rollout: int, kill: Callable[[], None]) -> None:
    """The engine is killed when a rollout's answers are asked for; looks after a hand-over are of one prompt."""
    write_, seen = engine.write, [0]  # type: ignore[attr-defined]

    def watched(self: Any, asked: Any, *rest: Any) -> Any:
        seen[0] += len(asked) > 1
        if seen[0] == rollout:
            seen[0] += 1
            kill()
        return write_(self, asked, *rest)

    monkeypatch.setattr(engine, "write", watched)


def test_a_server_that_dies_in_a_rollout_is_a_sentence_and_the_same_command_goes_on(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Served
) -> None:
    engine, path = settings_of("vllm_server", served), tmp_path / "ppo"
    dying(monkeypatch, Server, 2, served.kill)
    with pytest.raises(ResourceError, match=r"vLLM server .*same command again") as caught:
        trained(house, path, engine)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    assert not (path / "model").exists()
    served.start()
    rows = trained(house, path, engine)
    assert [row["step"] for row in rows] == [2, 4, 6]


def test_an_engine_that_dies_in_a_rollout_is_a_sentence_and_the_same_command_goes_on(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may be ended by a kernel that is short of memory."""
    engine, path = SamplerConfig(type="vllm"), tmp_path / "ppo"

    def kill() -> None:
        (child,) = engines()
        child.kill()

    dying(monkeypatch, InProcess, 2, kill)
    with pytest.raises(ResourceError, match=r"vLLM could not .*same command again") as caught:
        trained(house, path, engine)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    rows = trained(house, path, engine)
    assert [row["step"] for row in rows] == [2, 4, 6]
