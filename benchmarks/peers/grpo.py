"""TRL's GRPO trainer: sampling by transformers, a reward that costs nothing, its KL term's reference, the update."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trl
from datasets import load_dataset

from benchmarks.peers.training import FOLDER, Clock, arguments, policy, tokenizer, versions
from benchmarks.worker import Task

BETA = 0.04  # DeepSeekMath's; TRL loads a reference only where it is above 0


def reward(completions: list[list[dict[str, str]]], **_: Any) -> list[float]:
    """The share of vowels; ours is the same."""
    texts = [completion[0]["content"] for completion in completions]
    return [sum(text.count(vowel) for vowel in "aeiou") / max(1, len(text)) for text in texts]


def task(settings: dict[str, Any]) -> Task:
    """Settings: size, lengths, episodes (completions in a step), group, answer, steps, precision, device, cache."""
    folder = FOLDER / settings["size"]
    scratch = Path(tempfile.mkdtemp(prefix="trl-bench-"))
    steps = settings["steps"] + 1
    rows = settings["episodes"] // settings["group"] * steps
    file = str(folder / "prompts.jsonl")
    data = load_dataset("json", data_files=file, split=f"train[:{rows}]", cache_dir=str(scratch / "cache"))

    def repeat(number: int) -> Mapping[str, Any]:
        clock = Clock()
        args = trl.GRPOConfig(
            **arguments(settings, scratch),
            num_generations=settings["group"],
            max_completion_length=settings["answer"],
            beta=BETA,
            cache_implementation="static" if settings.get("cache") == "static" else None,
            seed=number + 2,
        )
        trainer = trl.GRPOTrainer(
            policy(folder / settings["lengths"]),
            reward,
            args,
            train_dataset=data,
            processing_class=tokenizer(settings["size"]),
            callbacks=[clock],
        )
        trainer.train()
        if len(clock.ends) != steps:
            raise ValueError(f"TRL made {len(clock.ends)} steps, {steps} were meant")
        lengths = [
            row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row
        ]
        return {
            "work": settings["episodes"] * settings["steps"],
            "seconds": clock.ends[-1] - clock.ends[0],
            "mean_length": sum(lengths) / max(1, len(lengths)),
        }

    return Task(repeat, versions())
