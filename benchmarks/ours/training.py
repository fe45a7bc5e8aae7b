"""Training stages as `heedful run` runs them, timed by the metrics log that they leave."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.material import material
from benchmarks.worker import Task
from heedful.config import Lora, Optim, PPOConfig, SFTConfig, StageConfig, Training
from heedful.config.recipe import KINDS
from heedful.data.chat import Chat
from heedful.data.sources import read_demonstrations
from heedful.run import Run, read_metrics
from heedful.run.manifest import environment
from heedful.stages import run_stage

MINIBATCHES = 4  # PPO's, on both sides
BETA = 0.04  # GRPO's KL term, on both sides
LR = 1e-6  # small: every repeat trains the same model


def task(settings: dict[str, Any]) -> Task:
    """Settings: stage, size, rows or episodes, steps, precision; on policy `lengths`, `group`, `answer`, `sampler`.

    `lora` is the adapters' rank, of SFT. The stages themselves take a card where there is one.
    """
    scratch = Path(tempfile.mkdtemp(prefix="heedful-bench-"))
    config = stage_config(settings, scratch)

    def repeat(number: int) -> Mapping[str, Any]:
        folder = scratch / str(number)
        begun = time.perf_counter()
        run_stage(config, Run(folder, config.name, seed=number))
        whole = time.perf_counter() - begun
        rows = read_metrics(folder / "metrics.jsonl")
        shutil.rmtree(folder)
        return {"whole": whole} | dict(measured(settings, rows, whole))

    used = {key: environment()[key] for key in ("python", "torch", "transformers")}
    return Task(repeat, used | {"threads": torch.get_num_threads()})


def measured(settings: Mapping[str, Any], rows: Sequence[Mapping[str, float]], whole: float) -> Mapping[str, float]:
    """Work and seconds of the steps behind the first one, or behind the first rollout; of DPO the whole epoch."""
    updates = updates_of(settings)
    seconds = sum(taken for _, taken in behind_the_first(rows, updates))
    match settings["stage"]:
        case "dpo":
            return {"work": settings["rows"] * (settings["steps"] + 1), "seconds": whole}
        case "sft":
            return {"work": rows[-1]["tokens"] - rows[0]["tokens"], "seconds": seconds}
        case "reward":
            return {"work": settings["rows"] * (rows[-1]["step"] - 1), "seconds": seconds}
        case _:
            return {"work": settings["episodes"] * (rows[-1]["step"] / updates - 1), "seconds": seconds}


def updates_of(settings: Mapping[str, Any]) -> int:
    """Optimizer steps of one rollout, or 1."""
    return MINIBATCHES if settings["stage"] == "ppo" else 1


def behind_the_first(rows: Sequence[Mapping[str, float]], updates: int) -> list[tuple[Mapping[str, float], float]]:
    """Lines of a metrics log behind the first `updates` steps, each with the seconds since the line before it.

    A line's `time/step` is the mean over the steps since that line: a rollout's sampling is in its first one.
    """
    return [
        (row, row["time/step"] * (row["step"] - before["step"]))
        for before, row in pairwise(rows)
        if row["step"] > updates
    ]


def stage_config(settings: Mapping[str, Any], scratch: Path) -> StageConfig:
    """The stage's config, on as many rows as its steps take."""
    folder, steps = material(settings["size"]), settings["steps"] + 1
    training = Training(precision=settings["precision"], log_every=1, epochs=1)
    optim = Optim(lr=LR)
    match settings["stage"]:
        case "sft":
            data = first_rows(folder / "data.jsonl", settings["rows"] * steps, scratch)
            tokens = tokens_in(data, folder / "skewed")
            model = str(folder / "skewed")
            return SFTConfig(
                model=model,
                data=str(data),
                tokens_per_step=tokens // steps,
                optim=optim,
                training=training,
                lora=Lora(rank=settings.get("lora", 0)),
            )
        case "reward" | "dpo" as stage:
            data = first_rows(folder / "preferences.jsonl", settings["rows"] * steps, scratch)
            given = {"model": str(folder / "skewed"), "data": [str(data)], "prompts_per_step": settings["rows"]}
            return KINDS[stage].model_validate(given | {"optim": optim, "training": training})  # type: ignore[return-value]
        case "ppo":
            return PPOConfig.model_validate(_on_policy(settings, folder) | _ppo(settings, folder))
        case "grpo":
            return KINDS["rl"].model_validate(_on_policy(settings, folder) | _grpo(settings))  # type: ignore[return-value]
    raise ValueError(f"no stage {settings['stage']}")


def _on_policy(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "model": str(folder / settings["lengths"]),
        "prompts": str(folder / "prompts.jsonl"),
        "generation": {"max_new_tokens": settings["answer"], "batch": settings["episodes"]},
        "optim": {"lr": LR},
        "training": {"precision": settings["precision"]},
        "sampler": {"precision": settings.get("sampler", "float32")},
    }


def _ppo(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "rewards": {"model": str(folder / "reward")},
        "algorithm": {
            "iterations": settings["steps"] + 1,
            "prompts": settings["episodes"],
            "minibatches": MINIBATCHES,
            "critic_warmup": 0,
        },
        "critic_optim": {"lr": LR},
    }


def _grpo(settings: Mapping[str, Any]) -> dict[str, Any]:
    function = {"type": "function", "function": f"{__name__}:vowels"}
    return {
        "rewards": {"parts": {"vowels": function}, "missing_eos_penalty": 0},
        "algorithm": {"type": "grpo"},
        "kl": {"coefficient": BETA},
        "practice": {
            "iterations": settings["steps"] + 1,
            "prompts": settings["episodes"] // settings["group"],
            "completions": settings["group"],
            "minibatches": 1,
        },
    }


def first_rows(path: Path, count: int, scratch: Path) -> Path:
    """A file of the first rows."""
    lines = path.read_text().splitlines(keepends=True)
    if count > len(lines):
        raise ValueError(f"{path} has {len(lines)} rows, {count} are asked for: raise material.ROWS")
    target = scratch / path.name
    target.write_text("".join(lines[:count]))
    return target


def tokens_in(data: Path, model: Path) -> int:
    """Tokens of demonstrations, prompts included."""
    chat = Chat.load(model)
    return sum(len(chat.example(d.prompt.messages, d.completion).ids) for d in read_demonstrations(data))


def vowels(prompt: Any, completion: str) -> float:
    """A reward that costs nothing: the share of vowels. The peer's is the same."""
    return sum(completion.count(vowel) for vowel in "aeiou") / max(1, len(completion))
