"""Pretraining from text: a tokenizer and a model that plain transformers loads; the same again after a stop."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from heedful.config import PretrainConfig
from heedful.errors import InputError, Stopped
from heedful.models.loading import load_policy
from heedful.records import Message
from heedful.run import Run, read_metrics
from heedful.stages.pretrain import pretrain

SHAPE = {"vocabulary": 320, "hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "feedforward": 24, "context": 32}


def corpus(path: Path) -> Path:
    rows: list[dict[str, Any]] = [{"text": f"The river {i % 5} runs to the sea and town {i % 7}."} for i in range(60)]
    rows += [{"text": "sea and river and town " * 20}]  # longer than the context
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(data: Path, **changes: Any) -> PretrainConfig:
    training = {"epochs": 2, "checkpoint_every": 3, "tokens_per_batch": 256}
    settings = {"data": str(data), "tokens_per_step": 300, "training": training}
    settings |= {} if "model" in changes else {"architecture": SHAPE}
    settings["optim"] = {"lr": 0.05, "warmup": 0}
    return PretrainConfig.model_validate(settings | changes)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_base_model_from_text(tmp_path: Path) -> None:
    run = Run(tmp_path / "01-pretrain", "pretrain", 0)
    pretrain(config(corpus(tmp_path / "corpus.jsonl")), run)
    rows = read_metrics(run.path / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    plain = AutoModelForCausalLM.from_pretrained(run.model)
    assert plain.config.max_position_embeddings == 32
    assert run.summary["documents"] == 61
    assert run.summary["parameters"] == sum(p.numel() for p in plain.parameters())
    assert run.summary["loss"] == rows[-1]["loss"]
    assert run.summary["tokens"] == rows[-1]["tokens"] > 2 * 61 * 8


def test_stopped_and_started_again_it_leaves_the_same_model(tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus.jsonl")
    straight, broken = Run(tmp_path / "a", "pretrain", 0), Run(tmp_path / "b", "pretrain", 0)
    pretrain(config(data), straight)
    broken.stopper.signal = signal.SIGINT
    with pytest.raises(Stopped) as stopped:
        pretrain(config(data), broken)
    assert stopped.value.exit_code == 130
    assert not broken.model.exists()
    pretrain(config(data), Run(tmp_path / "b", "pretrain", 0))
    assert files(broken.model) == files(straight.model)
    again = Run(tmp_path / "b", "pretrain", 0)
    pretrain(config(data), again)  # as after a kill between the model and the manifest
    assert files(broken.model) == files(straight.model)
    assert {**again.summary, "tokens_per_second": 0} == {**straight.summary, "tokens_per_second": 0}


def test_conversations_are_documents_too(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Which river?"}, {"role": "assistant", "content": "The long one."}]
    data = tmp_path / "talks.jsonl"
    data.write_text(json.dumps({"messages": talk}) + "\n")
    run = Run(tmp_path / "01-pretrain", "pretrain", 0)
    pretrain(config(data), run)
    _, chat = load_policy(run.model, device="cpu")
    (row, *_) = read_metrics(run.path / "metrics.jsonl")
    assert row["tokens"] == len(
        chat.document((Message("user", "Which river?"), Message("assistant", "The long one."))).ids
    )


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus.jsonl")
    runs = [Run(tmp_path / str(seed), "pretrain", seed) for seed in (0, 1)]
    for run in runs:
        pretrain(config(data), run)
    one, other = (files(run.model)["model.safetensors"] for run in runs)
    assert one != other


def test_a_model_goes_on_from_its_folder(tmp_path: Path) -> None:
    data = corpus(tmp_path / "corpus.jsonl")
    first, second = Run(tmp_path / "a", "pretrain", 0), Run(tmp_path / "b", "more", 0)
    pretrain(config(data), first)
    pretrain(config(data, model=str(first.model)), second)
    begun = read_metrics(second.path / "metrics.jsonl")[0]["loss"]
    assert begun < read_metrics(first.path / "metrics.jsonl")[0]["loss"] - 0.5
    assert load_policy(second.model, device="cpu")[1].pad_id == load_policy(first.model, device="cpu")[1].pad_id


def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "corpus.jsonl"
    empty.write_text("")
    run = Run(tmp_path / "01-pretrain", "pretrain", 0)
    with pytest.raises(InputError, match=r"corpus\.jsonl"):
        pretrain(config(empty), run)
    assert list(run.path.iterdir()) == []


def test_a_held_out_document_is_not_trained_on(tmp_path: Path) -> None:
    data, held = corpus(tmp_path / "corpus.jsonl"), tmp_path / "held.jsonl"
    held.write_text("".join(data.read_text().splitlines(keepends=True)[:2]))
    run = Run(tmp_path / "01-pretrain", "pretrain", 0)
    pretrain(config(data, heldout=str(held), training={"epochs": 0.1}), run)
    assert run.summary["documents"] == 61 - 4  # the corpus holds each of the two twice
    with pytest.raises(InputError, match="every document is held out"):
        pretrain(config(held, heldout=str(data)), Run(tmp_path / "02-pretrain", "pretrain", 0))
