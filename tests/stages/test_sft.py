"""Fine-tuning on demonstrations: the answer alone is learned, overlong rows are counted, two processes equal one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.config import Architecture, SFTConfig
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import pack
from heedful.errors import InputError
from heedful.models.loading import load_policy, new_policy, save_policy
from heedful.records import Message
from heedful.run import Run, read_metrics
from heedful.stages.sft import sft

SHAPE = {"vocabulary": 320, "hidden": 32, "layers": 1, "heads": 2, "kv_heads": 2, "feedforward": 48, "context": 64}
ROWS = [{"prompt": f"What is {i} and one?", "completion": f"It is {i + 1}."} for i in range(30)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    chat = Chat(train_tokenizer([row["prompt"] + row["completion"] for row in ROWS], 320))
    save_policy(new_policy(Architecture.model_validate(SHAPE), chat, seed=0), chat, tmp_path / "base")
    return tmp_path / "base"


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(base: Path, data: str, **changes: Any) -> SFTConfig:
    settings = {"model": str(base), "data": data, "tokens_per_step": 200, "optim": {"lr": 0.02}}
    training = {"epochs": 8, "tokens_per_batch": 128, "log_every": 1}
    return SFTConfig.model_validate(settings | {"training": training} | changes)


def answer_loss(folder: Path) -> float:
    """Mean over the tokens of one answer."""
    policy, chat = load_policy(folder, device="cpu")
    example = chat.example((Message("user", ROWS[3]["prompt"]),), ROWS[3]["completion"])
    return -policy(pack([example])).mean().item()


def test_it_learns_to_answer(base: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "02-sft", "sft", 0)
    sft(config(base, write(tmp_path / "d.jsonl", ROWS)), run)
    assert answer_loss(run.model) < 1.5 < 5 < answer_loss(base)
    assert run.summary["demonstrations"] == 30
    assert run.summary["dropped"] == 0
    assert run.summary["loss"] == read_metrics(run.path / "metrics.jsonl")[-1]["loss"]


def test_the_loss_counts_the_answers_tokens_alone(base: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "02-sft", "sft", 0)
    once = {"tokens_per_step": 10_000, "training": {"epochs": 1}}
    sft(config(base, write(tmp_path / "d.jsonl", ROWS), **once), run)
    policy, chat = load_policy(base, device="cpu")
    examples = [chat.example((Message("user", row["prompt"]),), row["completion"]) for row in ROWS]
    logprobs = policy(pack(examples))
    assert len(logprobs) == sum(len(chat.completion_ids(row["completion"])) for row in ROWS)
    (row,) = read_metrics(run.path / "metrics.jsonl")
    assert row["loss"] == pytest.approx(-logprobs.mean().item(), rel=1e-5)


def test_too_long_rows_are_dropped_counted_or_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    long = {"prompt": "What is one?", "completion": "It is " + "one and " * 40 + "one."}
    data = write(tmp_path / "d.jsonl", [*ROWS * 4, long])
    run = Run(tmp_path / "02-sft", "sft", 0)
    sft(config(base, data, training={"epochs": 1}), run)
    assert (run.summary["demonstrations"], run.summary["dropped"]) == (120, 1)
    assert any(f"1 of 121 demonstrations ({data}:121) don't fit" in text for text in said)
    refused = Run(tmp_path / "03-sft", "sft", 0)
    with pytest.raises(InputError, match=r"1 of 31 demonstrations \(.*e\.jsonl:31\)"):
        sft(config(base, write(tmp_path / "e.jsonl", [*ROWS, long])), refused)
    assert list(refused.path.iterdir()) == []


LAUNCHED = """
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from heedful.config import SFTConfig
from heedful.run import Run
from heedful.stages.sft import sft
sft(SFTConfig.model_validate_json(sys.argv[2]), Run(Path(sys.argv[1]), "sft", 0, main=os.environ["RANK"] == "0"))
"""


@pytest.mark.slow
def test_two_processes_train_to_the_same_losses_as_one(base: Path, tmp_path: Path) -> None:
    rows = ROWS[:21]  # steps that two processes can't share evenly
    settings = config(
        base, write(tmp_path / "d.jsonl", rows), training={"epochs": 3, "log_every": 1}, optim={"lr": 1e-3}
    )
    (tmp_path / "launched.py").write_text(LAUNCHED)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "launched.py")]
    done = subprocess.run(
        [sys.executable, *launch, str(tmp_path / "two"), settings.model_dump_json()],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one = Run(tmp_path / "one", "sft", 0)
    sft(settings, one)
    alone, together = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert len(alone) > 5
    for mine, theirs in zip(alone, together, strict=True):
        assert theirs["tokens"] == mine["tokens"]
        assert theirs["loss"] == pytest.approx(mine["loss"], abs=1e-5)
        assert theirs["optim/grad_norm"] == pytest.approx(mine["optim/grad_norm"], rel=1e-4)
    batch = pack([load_policy(base, device="cpu")[1].example((Message("user", "What?"),), "It is.")])
    found = [load_policy(tmp_path / name / "model", device="cpu")[0](batch) for name in ("one", "two")]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_a_held_out_prompt_is_not_trained_on(base: Path, tmp_path: Path) -> None:
    data, held = (
        write(tmp_path / "d.jsonl", ROWS),
        write(tmp_path / "h.jsonl", [{"id": "x", **row} for row in ROWS[:4]]),
    )
    run = Run(tmp_path / "02-sft", "sft", 0)
    sft(config(base, data, heldout=held, training={"epochs": 1, "tokens_per_batch": 128}), run)
    assert run.summary["demonstrations"] == 26
    with pytest.raises(InputError, match="every prompt is held out"):
        sft(config(base, held, heldout=data), Run(tmp_path / "03-sft", "sft", 0))
