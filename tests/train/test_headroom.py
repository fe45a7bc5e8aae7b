"""What a step is said to take against what it took, and what is said where it can't fit.

As a script: takes one step of each kind in a process of its own, and prints what was said and what was taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.algorithms.lm import lm_objective
from heedful.config import Lora, Optim, Training
from heedful.data.packing import Example, pack
from heedful.errors import ResourceError
from heedful.models.heads import Policy
from heedful.models.lora import add_lora
from heedful.train import headroom
from heedful.train.headroom import Headroom
from heedful.train.optimizer import Optimizer
from heedful.train.processes import make_accelerator
from heedful.train.recompute import recomputing

TOKENS, LENGTH = 4096, 128
KINDS: dict[str, dict[str, bool]] = {"whole": {}, "again": {"gradient_checkpointing": True}, "adapters": {}}


def million() -> Policy:
    """1.4 million parameters."""
    shape = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        return Policy(LlamaForCausalLM(LlamaConfig(**shape, vocab_size=4096, tie_word_embeddings=True)))


def answers(tokens: int) -> list[Example]:
    return [Example(tuple(range(i, i + LENGTH)), 3 * LENGTH // 4) for i in range(tokens // LENGTH)]


def of(policy: nn.Module, **training: object) -> Headroom:
    config = Training.model_validate(training)
    return Headroom(policy, config, "sft", make_accelerator(config))


def resident(peak: bool = False) -> int:
    """Bytes of this process now, or at most since the start."""
    name = "VmHWM:" if peak else "VmRSS:"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def measure(kind: str) -> tuple[float, int]:
    """What a first step is said to take, and what it takes beside the weights."""
    policy, training = million(), Training.model_validate(KINDS[kind])
    if kind == "adapters":
        add_lora(policy.lm, Lora(rank=8), "nowhere", 0)
    room, optimizer = of(policy, **KINDS[kind]), Optimizer(policy, {"": Optim(lr=1e-3)})

    def step(tokens: int) -> None:
        with recomputing(policy, training.gradient_checkpointing):
            lm_objective(policy, pack(answers(tokens))).loss.backward()

    step(LENGTH)  # what is loaded at first use
    for parameter in policy.parameters():
        parameter.grad = None
    before = resident()
    step(TOKENS)
    optimizer.step(0, 1)
    return room.needed(TOKENS), resident(peak=True) - before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system says no peaks")
def test_what_is_said_is_what_is_taken() -> None:
    for kind in KINDS:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, __file__, kind], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        said, taken = json.loads(done.stdout.splitlines()[-1])
        assert 1 / 1.5 < said / taken < 1.5, (kind, said, taken)


def test_a_step_that_can_not_fit_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = million()
    batch = pack(answers(1024))
    whole = of(policy, tokens_per_batch=1024).needed(1024)
    for free, words in (
        (whole - 1e6, r"sft: a step of 1024 tokens at once takes about 0\.\d+ GB more, and 0\.\d+ GB are free: "
         r"lower training.tokens_per_batch to \d+ or less \(the result stays the same\), or set .*checkpointing"),
        (1e6, "set lora.rank"),
    ):  # fmt: skip
        monkeypatch.setattr(headroom, "memory_free_on", lambda _, free=free: free)
        with pytest.raises(ResourceError, match=words):
            of(policy, tokens_per_batch=1024).must_fit([batch])
    monkeypatch.setattr(headroom, "memory_free_on", lambda _: whole - 1e6)
    with pytest.raises(ResourceError, match="one item alone has 1024 tokens"):
        of(policy, tokens_per_batch=128).must_fit([batch])
    of(policy, tokens_per_batch=1024, gradient_checkpointing=True).must_fit([batch])
    add_lora(policy.lm, Lora(rank=2), "nowhere", 0)
    monkeypatch.setattr(headroom, "memory_free_on", lambda _: 1.0)
    with pytest.raises(ResourceError, match="take a smaller model"):
        of(policy).must_fit([batch])
    monkeypatch.setattr(headroom, "memory_free_on", lambda _: 0.0)
    of(policy).must_fit([batch])  # nobody says


def test_what_was_taken_once_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger batch asks for what it takes more; a smaller one for nothing."""
    room = of(million())
    room.must_fit([pack(answers(512)), pack(answers(1024))])
    resumed = of(million())
    learning = sum(parameter.numel() for parameter in million().parameters())
    assert resumed.needed(1024) == pytest.approx(resumed.kept(1024) + 12 * learning)
    resumed.moments = 0.0
    assert resumed.needed(1024) == pytest.approx(resumed.kept(1024) + 4 * learning)
    assert room.needed(2048) == pytest.approx(room.kept(2048) - room.kept(1024))
    monkeypatch.setattr(headroom, "memory_free_on", lambda _: 1.0)
    room.must_fit([pack(answers(1024))])
    with pytest.raises(ResourceError):
        room.must_fit([pack(answers(2048))])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(sys.argv[1])))  # noqa: T201
