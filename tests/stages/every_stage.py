"""One tiny stage of every kind, and the files that they read, for tests of what all stages must do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import rl_house
from rl_house import BAD, GOOD, OTHER, dpo_config, ppo_config, prompts, rl_config, write

from heedful.config import (
    AccuracyConfig,
    AverageConfig,
    BlendConfig,
    EvaluateConfig,
    LabelConfig,
    OpeningsConfig,
    PretrainConfig,
    ReportConfig,
    RewardConfig,
    SampleConfig,
    SelectConfig,
    SFTConfig,
    StageConfig,
    WorldConfig,
)
from heedful.records import Completion, Demonstration, prompt_id

SHAPE = {"vocabulary": 300, "hidden": 16, "layers": 1, "heads": 2, "kv_heads": 2, "feedforward": 32, "context": 64}
WALK = {"epochs": 4, "log_every": 1, "checkpoint_every": 2}


def build(folder: Path) -> Path:
    """Everything that the stages below read."""
    folder.mkdir(exist_ok=True)
    house = rl_house.build(folder)
    asked = [replace(prompt, id=prompt_id(prompt.messages)) for prompt in prompts()]
    answers = [Completion(prompt=p, text=text, policy="sft") for p in asked for text in (GOOD, BAD, OTHER)]
    write(house / "completions.jsonl", answers)
    write(house / "demonstrations.jsonl", [Demonstration(prompt=p, completion=GOOD) for p in asked])
    stories = [{"text": f"{p.messages[0].content} asked number {i} once upon a day"} for i, p in enumerate(asked)]
    write(house / "stories.jsonl", stories)
    return house


def stages(house: Path) -> Mapping[str, tuple[StageConfig, str]]:
    """Kind → the stage, and the name of a data file that it reads; empty: none."""
    sft, reward = str(house / "sft"), str(house / "reward")
    asked, ranked, answers = (str(house / f"{name}.jsonl") for name in ("prompts", "rankings", "completions"))
    short = {"max_new_tokens": 6, "batch": 4}
    counts = {f"{split}_prompts": 10 for split in ("preference", "rl", "dev", "test")}
    parts = {"score": {"model": reward}, "likely": {"model": sft}}
    judged = {"models": {"base": sft, "again": sft}, "reward_models": {"reward": reward}, "judge": "none"}
    found: dict[str, tuple[StageConfig, str]] = {
        "world": (WorldConfig(documents=100, demonstrations=10, **counts), ""),
        "openings": (
            OpeningsConfig(
                data=str(house / "stories.jsonl"),
                shortest=1,
                longest=2,
                preference_prompts=2,
                rl_prompts=2,
                test_prompts=2,
            ),
            "stories",
        ),
        "pretrain": (
            PretrainConfig.model_validate(
                {
                    "data": str(house / "text.jsonl"),
                    "architecture": SHAPE,
                    "tokens_per_step": 64,
                    "training": WALK | {"epochs": 8},
                }
            ),
            "text",
        ),
        "sft": (
            SFTConfig.model_validate(
                {
                    "model": sft,
                    "data": str(house / "demonstrations.jsonl"),
                    "tokens_per_step": 64,
                    "training": WALK,
                }
            ),
            "demonstrations",
        ),
        "sample": (
            SampleConfig.model_validate({"model": sft, "prompts": asked, "completions": 8, "generation": short}),
            "prompts",
        ),
        "label": (
            LabelConfig.model_validate(
                {"completions": [answers], "holdout": 0.5, "by": {"type": "simulated", "truth": "sentiment"}}
            ),
            "completions",
        ),
        "reward": (
            RewardConfig.model_validate(
                {"model": sft, "data": [ranked], "members": 2, "prompts_per_step": 2, "training": WALK}
            ),
            "rankings",
        ),
        "select": (
            SelectConfig.model_validate({"completions": [answers], "rewards": {"model": reward}}),
            "completions",
        ),
        "blend": (BlendConfig.model_validate({"parts": parts, "data": [ranked], "folds": 2}), "rankings"),
        "dpo": (dpo_config(house), "rankings"),
        "ppo": (ppo_config(house), "prompts"),
        "rl": (rl_config(house, "grpo"), "prompts"),
        "accuracy": (AccuracyConfig(models={"reward": reward}, data=[ranked]), "rankings"),
        "average": (AverageConfig(models=[sft, sft]), ""),
        "evaluate": (
            EvaluateConfig.model_validate(judged | {"prompts": asked, "draws": 2, "generation": short}),
            "prompts",
        ),
        "report": (ReportConfig(), ""),
    }
    return found
