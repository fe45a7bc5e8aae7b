"""A block of rounds: spelled out by hand it is the same recipe, and what can't be meant is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from heedful.config import Recipe, load_recipe
from heedful.errors import InputError

SFT = {"type": "sft", "model": "$base", "data": "$data"}
SAMPLE = {"type": "sample", "model": "@ppo:previous/model", "prompts": "$data"}
LABEL = {"type": "label", "completions": ["@sample/completions.jsonl", "@first/completions.jsonl"]}
REWARD = {"type": "reward", "model": "@sft/model", "data": ["@label:all/rankings.jsonl"]}
ACCURACY = {
    "type": "accuracy",
    "models": {"before": "@reward:previous/model", "now": "@reward/model"},
    "data": ["@label/heldout.jsonl"],
}
PPO = {"type": "ppo", "model": "@sft/model", "prompts": "$data", "rewards": {"model": "@reward/model"}}
FIRST = {"type": "sample", "name": "first", "model": "@sft/model", "prompts": "$data"}
BLOCK = {"type": "rounds", "count": 2, "start": {"ppo": "sft"}, "stages": [SAMPLE, LABEL, REWARD, ACCURACY, PPO]}
EVALUATE = {
    "type": "evaluate",
    "models": {"sft": "@sft/model", "ppo": "@ppo:all/model"},
    "prompts": "$data",
    "reward_models": {"reward": "@reward:last/model"},
}


def recipe(folder: Path, *stages: dict[str, Any], overrides: tuple[str, ...] = ()) -> Recipe:
    path = folder / "recipe.toml"
    inputs = {"base": "base", "data": "data.jsonl"}
    path.write_text(tomli_w.dumps({"name": "r", "inputs": inputs, "stages": list(stages)}))
    return load_recipe(str(path), overrides)


def test_a_part_of_a_blend_follows_its_round(tmp_path: Path) -> None:
    blend = {"type": "blend", "data": ["@label/heldout.jsonl"], "calibration": ["@sample/completions.jsonl"]}
    parts = {"head": {"model": "@reward/model"}, "base": {"model": "@sft/model", "per_token": True}}
    block = BLOCK | {"stages": [SAMPLE, LABEL, REWARD, blend | {"parts": parts}, PPO]}
    blends = [stage for stage in recipe(tmp_path, SFT, FIRST, block).stages if stage.type == "blend"]
    heads = [(stage.name, stage.parts["head"].model, stage.parts["base"].model) for stage in blends]
    assert heads == [("blend-1", "@reward-1/model", "@sft/model"), ("blend-2", "@reward-2/model", "@sft/model")]


def test_the_block_is_what_one_would_write_by_hand(tmp_path: Path) -> None:
    rounds = recipe(tmp_path, SFT, FIRST, BLOCK, EVALUATE)
    by_hand = [
        *(SFT, FIRST),
        SAMPLE | {"name": "sample-1", "model": "@sft/model"},
        LABEL | {"name": "label-1", "completions": ["@sample-1/completions.jsonl", "@first/completions.jsonl"]},
        REWARD | {"name": "reward-1", "data": ["@label-1/rankings.jsonl"]},
        ACCURACY | {"name": "accuracy-1", "models": {"now": "@reward-1/model"}, "data": ["@label-1/heldout.jsonl"]},
        PPO | {"name": "ppo-1", "rewards": {"model": "@reward-1/model"}},
        SAMPLE | {"name": "sample-2", "model": "@ppo-1/model"},
        LABEL | {"name": "label-2", "completions": ["@sample-2/completions.jsonl", "@first/completions.jsonl"]},
        REWARD | {"name": "reward-2", "data": ["@label-1/rankings.jsonl", "@label-2/rankings.jsonl"]},
        ACCURACY
        | {
            "name": "accuracy-2",
            "models": {"before": "@reward-1/model", "now": "@reward-2/model"},
            "data": ["@label-2/heldout.jsonl"],
        },
        PPO | {"name": "ppo-2", "rewards": {"model": "@reward-2/model"}},
        EVALUATE
        | {
            "models": {"sft": "@sft/model", "ppo-1": "@ppo-1/model", "ppo-2": "@ppo-2/model"},
            "reward_models": {"reward": "@reward-2/model"},
            "rounds": {"ppo-1": 1, "ppo-2": 2},
        },
    ]
    assert rounds == recipe(tmp_path, *by_hand)


def test_the_first_round_may_start_from_another_runs_stage(tmp_path: Path) -> None:
    sample = {"type": "sample", "model": "@ppo:previous/model", "prompts": "$data"}
    rounds = recipe(
        tmp_path, SFT, FIRST, BLOCK | {"start": {"ppo": "$base/03-sft"}, "stages": [sample, LABEL, REWARD, PPO]}
    )
    models = {stage.name: stage.model for stage in rounds.stages if stage.type == "sample"}
    assert models == {"first": "@sft/model", "sample-1": "$base/03-sft/model", "sample-2": "@ppo-1/model"}


def test_settings_hold_in_every_round_or_in_one(tmp_path: Path) -> None:
    overrides = ("rounds.count=3", "ppo.algorithm.iterations=15", "ppo-2.algorithm.iterations=17", "sft.optim.lr=1e-4")
    stages = {stage.name: stage for stage in recipe(tmp_path, SFT, FIRST, BLOCK, overrides=overrides).stages}
    assert [stages[f"ppo-{n}"].algorithm.iterations for n in (1, 2, 3)] == [15, 17, 15]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="--set grpo.optim.lr: no stage 'grpo' in this recipe .stages: sft"):
        recipe(tmp_path, SFT, FIRST, BLOCK, overrides=("grpo.optim.lr=1",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"start": {}},
            "@ppo:previous/model: stands for 0 stages where one is needed: name the one of",
        ),
        ({"start": {"pp": "sft"}}, "rounds.start names pp, which is no stage of the round .sample, label, reward"),
        ({"count": 0}, "rounds: 'count': expected at least 1, found 0"),
        ({"cuont": 2}, "rounds: unknown key 'cuont': did you mean 'count'"),
        ({"stages": []}, "rounds: 'stages': expected at least 1 entry"),
        ({"stages": [SAMPLE | {"model": "@ppo/model"}, PPO]}, "@ppo is of no one round here: 'ppo' comes later"),
        (
            {"stages": [SAMPLE | {"model": "@ppo:last/model"}, PPO]},
            "@ppo:last is of no one round here; write",
        ),
        (
            {"stages": [SAMPLE, PPO | {"model": "@sample:all/model"}]},
            "@sample:all/model: stands for 2 stages where one is",
        ),
        ({"stages": [SAMPLE | {"model": "@dpo:previous/model"}], "start": {}}, "dpo is no stage of the round .sample"),
    ],
)
def test_what_can_not_be_meant_is_one_sentence(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        recipe(tmp_path, SFT, FIRST, BLOCK | change)


def test_after_the_block_a_round_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="@ppo is of no one round here; write @ppo:last or :all"):
        recipe(tmp_path, SFT, FIRST, BLOCK, EVALUATE | {"models": {"sft": "@sft/model", "ppo": "@ppo/model"}})
    with pytest.raises(InputError, match="holds 2 blocks of rounds; a recipe can have one"):
        recipe(tmp_path, SFT, FIRST, BLOCK, BLOCK)
