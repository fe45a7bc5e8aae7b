"""Two processes, each with whole weights or with its shares: what one process trains, the same again after a stop.

As a script it is one of the processes: `test_sharding.py ROOT HOW`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import GOOD, build, dpo_config, ppo_config, prompts, rl_config, together, untimed, write

from heedful.config import RewardConfig, SFTConfig
from heedful.errors import Stopped
from heedful.records import Demonstration
from heedful.run import Run
from heedful.stages.dpo import dpo
from heedful.stages.ppo import ppo
from heedful.stages.reward import reward
from heedful.stages.rl import rl
from heedful.stages.sft import sft

WALK = {"epochs": 4, "log_every": 1, "checkpoint_every": 3, "tokens_per_batch": 64}
ROLLOUTS = {"iterations": 3, "prompts": 8, "epochs": 2, "minibatches": 2}
UNEVEN = 3  # prompts in a step: one process has a micro-batch more than the other


def stages(house: Path, sharding: str) -> dict[str, Callable[[Run], None]]:
    """Trainings by name."""
    walk = WALK | {"sharding": sharding}
    model, data = str(house / "sft"), str(house / "rankings.jsonl")
    looks = {"ema": 0.5, "early_stop": {"metric": "heldout/loss", "every": 2, "patience": 9}}
    tuned = SFTConfig.model_validate(
        {
            "model": model,
            "data": str(house / "demonstrations.jsonl"),
            "heldout": str(house / "held.jsonl"),
            "tokens_per_step": 64,
            "training": walk | looks,
        }
    )
    scored = RewardConfig.model_validate({"model": model, "data": [data], "prompts_per_step": 2, "training": walk})
    early = {"metric": "loss", "patience": 9}
    rollouts = {"sharding": sharding, "checkpoint_every": 1, "ema": 0.5, "tokens_per_batch": 64}
    text = {"ptx": {"data": str(house / "text.jsonl"), "coefficient": 0.5, "tokens": 64}}
    practised = {"algorithm": ROLLOUTS | {"critic_warmup": 0}, "training": rollouts, "optim": {"lr": 1e-3}}
    leashed = {"type": "grpo", "penalty": "exact"}
    practice = ROLLOUTS | {"prompts": 4, "completions": 2}
    return {
        "sft": lambda run: sft(tuned, run),
        "reward": lambda run: reward(scored, run),
        "dpo": lambda run: dpo(dpo_config(house, training=walk | {"gradient_checkpointing": True}), run),
        "lora": lambda run: dpo(dpo_config(house, training=walk | {"early_stop": early}, lora={"rank": 2}), run),
        "kto": lambda run: dpo(dpo_config(house, loss={"type": "kto"}, prompts_per_step=UNEVEN, training=walk), run),
        "ppo": lambda run: ppo(ppo_config(house, **practised), run),
        "ptx": lambda run: ppo(ppo_config(house, **practised | text), run),
        "leashed": lambda run: rl(
            rl_config(house, "grpo", algorithm=leashed, practice=practice, training=rollouts, kl={"ema": 0.1}), run
        ),
    }


def train(root: Path, how: str) -> None:
    """Every stage; `broken`: each is stopped after a step, and goes on."""
    main = os.environ.get("RANK", "0") == "0"
    for name, stage in stages(root / "house", "none" if how in ("one", "plain") else "full").items():
        if how == "broken":
            stopped = Run(root / f"{name}-{how}", name, seed=1, main=main)
            stopped.stopper.signal = signal.SIGTERM
            with pytest.raises(Stopped):
                stage(stopped)
        stage(Run(root / f"{name}-{how}", name, seed=1, main=main))


@pytest.mark.slow
def test_two_processes_train_what_one_trains_and_shares_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    house = build(tmp_path / "house")
    taught = [Demonstration(prompt=prompt, completion=GOOD) for prompt in prompts()]
    write(house / "demonstrations.jsonl", taught[:4])
    write(house / "held.jsonl", taught[4:])
    train(tmp_path, "one")
    for how in ("plain", "whole", "broken"):
        together(__file__, str(tmp_path), how)
    for name in stages(house, "full"):
        hows = ("one", "plain", "whole", "broken")
        one, plain, two, again = (Run(tmp_path / f"{name}-{how}", name, seed=1) for how in hows)
        for joint in (plain, two):
            for first, second in zip(untimed(one), untimed(joint), strict=True):
                assert first == pytest.approx(second, rel=1e-5, abs=1e-5), (name, joint.path)
        assert untimed(two) == untimed(again), name
        weights = [load_file(run.model / "model.safetensors") for run in (one, plain, two, again)]
        for key, tensor in weights[0].items():
            assert torch.allclose(tensor, weights[1][key], atol=1e-4), (name, key)
            assert torch.allclose(tensor, weights[2][key], atol=1e-4), (name, key)
            assert torch.equal(weights[2][key], weights[3][key]), (name, key)
        auto = AutoModelForSequenceClassification if name == "reward" else AutoModelForCausalLM
        auto.from_pretrained(two.model)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), sys.argv[2])
