"""What is exported trains in TRL's own trainers as it is: a tiny model, two steps of each."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import Query, export
from heedful.feedback.judgements import Judgement, raw_row
from heedful.records import Message, Prompt

trl = pytest.importorskip("trl")
pytestmark = pytest.mark.slow  # its imports alone take half a minute on a busy machine


def model(tokenizer: Any, folder: Path, *, scores: bool = False) -> Any:
    """A tiny random model, from a folder of its own, whence the trainers load their reference."""
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        num_labels=1,
    )
    kind = LlamaForSequenceClassification if scores else LlamaForCausalLM
    kind(config).save_pretrained(folder / "model")
    return kind.from_pretrained(folder / "model")


def exported(tmp_path: Path, format: ExportFormat, rule: str) -> Any:
    from datasets import load_dataset

    rows = [
        raw_row(
            Judgement(
                prompt=Prompt(id=str(n), messages=(Message("user", f"why {n}"),)),
                completions=("so", "because"),
                value={"verdict": "prefer", "preferred": int(n % 3 == 0), "strength": 1 + n % 3},
                rater=f"r{k}",
            )
        )
        for n in range(8)
        for k in range(2)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    export([path], Query(format=format, rule=rule), tmp_path / "out")
    return load_dataset(
        "json", data_files=str(tmp_path / "out" / "train.jsonl"), split="train", cache_dir=str(tmp_path)
    )


def trained(trainer: Callable[..., Any], config: Callable[..., Any], tmp_path: Path, **parts: Any) -> Any:
    """The trainer after two steps; a loss that is a number is all that is asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        args = config(
            output_dir=str(tmp_path / "trl"),
            max_steps=2,
            per_device_train_batch_size=4,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            max_length=64,
        )
        made = trainer(args=args, **parts)
        result = made.train()
    assert result.global_step == 2 and torch.isfinite(torch.tensor(result.training_loss))
    return made


@pytest.mark.parametrize(("format", "rule"), [(ExportFormat.TRL, "each"), (ExportFormat.TRL_IMPLICIT, "soft")], ids=str)
def test_dpo(format: ExportFormat, rule: str, tokenizer: Any, tmp_path: Path) -> None:
    data = exported(tmp_path, format, rule)
    made = trained(
        trl.DPOTrainer,
        trl.DPOConfig,
        tmp_path,
        model=model(tokenizer, tmp_path),
        train_dataset=data,
        processing_class=tokenizer,
    )
    prepared = made.train_dataset[0]
    chosen = data[0]["chosen"][-1]["content"]
    assert tokenizer.decode(prepared["chosen_ids"]).startswith(chosen)
    assert tokenizer.decode(prepared["prompt_ids"]) == "<user>why 0</s><assistant>"


def test_reward_takes_the_margin(tokenizer: Any, tmp_path: Path) -> None:
    data = exported(tmp_path, ExportFormat.TRL_IMPLICIT, "crowd")
    assert min(data["margin"]) > 0
    made = trained(
        trl.RewardTrainer,
        trl.RewardConfig,
        tmp_path,
        model=model(tokenizer, tmp_path, scores=True),
        train_dataset=data,
        processing_class=tokenizer,
    )
    batch = next(iter(made.get_train_dataloader()))
    assert batch["margin"].shape == (4,) and batch["margin"].min() > 0


def test_kto(tokenizer: Any, tmp_path: Path) -> None:
    data = exported(tmp_path, ExportFormat.TRL_UNPAIRED, "each")
    assert sum(data["label"]) == len(data) / 2
    trained(
        trl.KTOTrainer,
        trl.KTOConfig,
        tmp_path,
        model=model(tokenizer, tmp_path),
        train_dataset=data,
        processing_class=tokenizer,
    )
