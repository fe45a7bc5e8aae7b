"""PPO of TRL 1.12.0, the last release that has it: policy, reference, reward and value model of one size."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification
from trl.experimental.ppo import PPOConfig, PPOTrainer

from benchmarks.peers.training import FOLDER, Clock, arguments, policy, tokenizer, versions
from benchmarks.worker import Task

MINIBATCHES = 4  # ours are as many


def task(settings: dict[str, Any]) -> Task:
    """Settings: size, lengths, episodes (completions in a step), answer, steps, precision, device."""
    folder = FOLDER / settings["size"]
    scratch = Path(tempfile.mkdtemp(prefix="trl-bench-"))
    steps = settings["steps"] + 1
    words = tokenizer(settings["size"])
    words.padding_side = "left"
    with (folder / "prompts.jsonl").open() as file:
        prompts = [json.loads(line)["prompt"] for line in islice(file, settings["episodes"] * steps)]
    ids = [words.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"] for prompt in prompts]
    data = Dataset.from_dict({"input_ids": ids})

    def repeat(number: int) -> Mapping[str, Any]:
        clock = Clock()
        given = arguments(settings, scratch) | {"seed": number + 2}
        args = PPOConfig(
            **given,
            total_episodes=settings["episodes"] * steps,
            num_mini_batches=MINIBATCHES,
            num_ppo_epochs=1,
            response_length=settings["answer"],
            local_rollout_forward_batch_size=settings["episodes"],
            num_sample_generations=0,
            stop_token="eos",
            temperature=1.0,
        )
        reward, value = (
            AutoModelForSequenceClassification.from_pretrained(folder / "reward", num_labels=1, dtype=torch.float32)
            for _ in range(2)
        )
        trainer = PPOTrainer(
            args,
            words,
            policy(folder / settings["lengths"]),
            policy(folder / settings["lengths"]),
            reward,
            data,
            value,
            eval_dataset=data.select(range(2)),
            callbacks=[clock],
        )
        trainer.train()
        return {"work": settings["episodes"] * (len(clock.ends) - 1), "seconds": clock.ends[-1] - clock.ends[0]}

    return Task(repeat, versions())
