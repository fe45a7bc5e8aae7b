"""TRL's SFT, reward and DPO trainers, timed step by step by a callback."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
)

from benchmarks.worker import Task

FOLDER = Path(__file__).parents[2] / "build" / "bench"
LR = 1e-6


class Clock(TrainerCallback):  # type: ignore[misc]
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # a card computes while Python goes on
        self.ends.append(time.perf_counter())


def task(settings: dict[str, Any]) -> Task:
    """Settings: stage, size, rows, steps, precision, device; `padding_free` for SFT and DPO, `precompute` for DPO."""
    scratch = Path(tempfile.mkdtemp(prefix="trl-bench-"))
    name = "data" if settings["stage"] == "sft" else "preferences"
    rows = settings["rows"] * (settings["steps"] + 1)
    file = str(FOLDER / settings["size"] / f"{name}.jsonl")
    data = load_dataset("json", data_files=file, split=f"train[:{rows}]", cache_dir=str(scratch / "cache"))

    def repeat(number: int) -> Mapping[str, Any]:
        begun = time.perf_counter()
        clock = Clock()
        trainer = MAKE[settings["stage"]](settings, data, clock, scratch)
        tokens = count_tokens(trainer)
        trainer.train()
        if settings["stage"] == "dpo":
            trainer.save_model(str(scratch / "model"))
            shutil.rmtree(scratch / "model")
            return {"work": rows, "seconds": time.perf_counter() - begun}
        work = sum(tokens[1 : len(clock.ends)]) if settings["stage"] == "sft" else rows - settings["rows"]
        return {"work": work, "seconds": clock.ends[-1] - clock.ends[0], "whole": time.perf_counter() - begun}

    return Task(repeat, versions())


def versions() -> dict[str, Any]:
    return {
        "trl": trl.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def arguments(settings: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    """What all trainers are given: nothing is saved or reported, no gradient checkpointing (it costs time)."""
    return {
        "output_dir": str(scratch / "out"),
        "per_device_train_batch_size": settings.get("rows", settings.get("episodes")),
        "num_train_epochs": 1,
        "learning_rate": LR,
        "bf16": settings["precision"] == "bfloat16",
        "gradient_checkpointing": False,
        "use_cpu": settings.get("device", "cpu") == "cpu",
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def tokenizer(size: str) -> Any:
    return AutoTokenizer.from_pretrained(FOLDER / size / "skewed")


def policy(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def count_tokens(trainer: Trainer) -> list[int]:
    """Grows by each collated batch's tokens without padding."""
    counts: list[int] = []
    collate = trainer.data_collator

    def counting(rows: Any) -> Any:
        batch = collate(rows)
        mask = batch.get("attention_mask")
        counts.append(int(mask.sum()) if mask is not None else int(batch["input_ids"].numel()))
        return batch

    trainer.data_collator = counting
    return counts


def _sft(settings: Mapping[str, Any], data: Dataset, clock: Clock, scratch: Path) -> Trainer:
    size = settings["size"]
    args = trl.SFTConfig(
        **arguments(settings, scratch), max_length=None, padding_free=settings.get("padding_free", False)
    )
    return trl.SFTTrainer(
        policy(FOLDER / size / "skewed"), args, train_dataset=data, processing_class=tokenizer(size), callbacks=[clock]
    )


def _reward(settings: Mapping[str, Any], data: Dataset, clock: Clock, scratch: Path) -> Trainer:
    size = settings["size"]
    model = AutoModelForSequenceClassification.from_pretrained(
        FOLDER / size / "skewed", num_labels=1, dtype=torch.float32
    )
    args = trl.RewardConfig(**arguments(settings, scratch), max_length=None)
    return trl.RewardTrainer(model, args, train_dataset=data, processing_class=tokenizer(size), callbacks=[clock])


def _dpo(settings: Mapping[str, Any], data: Dataset, clock: Clock, scratch: Path) -> Trainer:
    size = settings["size"]
    args = trl.DPOConfig(
        **arguments(settings, scratch),
        max_length=None,
        padding_free=settings.get("padding_free", False),
        precompute_ref_log_probs=settings.get("precompute", False),
    )
    model, reference = policy(FOLDER / size / "skewed"), policy(FOLDER / size / "skewed")
    return trl.DPOTrainer(
        model,
        None if settings.get("precompute") else reference,
        args,
        train_dataset=data,
        processing_class=tokenizer(size),
        callbacks=[clock],
    )


MAKE: Mapping[str, Callable[..., Trainer]] = {"sft": _sft, "reward": _reward, "dpo": _dpo}
