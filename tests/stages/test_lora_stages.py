"""Stages that train adapters: the base stays, the start is the base's, a broken run ends as an unbroken one."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import GOOD, QUESTIONS, build, dpo_config, ppo_config, untimed, write

from heedful.config import RewardConfig, SFTConfig
from heedful.errors import InputError, Stopped
from heedful.models.folders import open_model
from heedful.run import Run
from heedful.stages import ppo as ppo_stage
from heedful.stages.dpo import dpo
from heedful.stages.ppo import ppo
from heedful.stages.reward import reward
from heedful.stages.sft import sft
from heedful.train.on_policy import OnPolicySource

LORA = {"rank": 4}
FILES = ("model/model.safetensors", "adapter/adapter_model.safetensors")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("house"))
    write(folder / "demonstrations.jsonl", [{"prompt": text, "completion": GOOD} for text in QUESTIONS])
    return folder


def do(stage: str, house: Path, path: Path, stop: int = 0) -> Run:
    """One stage with adapters; `stop`: the signal that comes before its first step."""
    run = Run(path, stage, seed=1)
    run.stopper.signal = stop
    model = str(house / "sft")
    match stage:
        case "sft":
            data = str(house / "demonstrations.jsonl")
            sft(SFTConfig(model=model, data=data, tokens_per_step=64, lora=LORA, optim={"lr": 5e-3}), run)
        case "dpo":
            dpo(dpo_config(house, lora=LORA), run)
        case "reward":
            data = str(house / "rankings.jsonl")
            reward(RewardConfig(model=model, data=[data], prompts_per_step=2, lora=LORA, training={"epochs": 3}), run)
        case "ppo":
            ppo(ppo_config(house, lora=LORA, critic_lora={"rank": 2}), run)
    return run


@pytest.mark.parametrize("stage", ["sft", "dpo", "reward", "ppo"])
def test_a_stage_leaves_both_and_a_broken_one_ends_as_an_unbroken_one(stage: str, house: Path, tmp_path: Path) -> None:
    whole = do(stage, house, tmp_path / "whole")
    adapter = load_file(whole.path / FILES[1])
    assert any("lora_B" in name and bool(tensor.any()) for name, tensor in adapter.items())
    base, merged = load_file(house / "sft" / "model.safetensors"), load_file(whole.path / FILES[0])
    assert not any("lora" in name for name in merged)
    assert torch.equal(merged["model.embed_tokens.weight"], base["model.embed_tokens.weight"])  # frozen
    assert not torch.equal(merged["model.layers.0.mlp.up_proj.weight"], base["model.layers.0.mlp.up_proj.weight"])
    path = tmp_path / "broken"
    with pytest.raises(Stopped):
        do(stage, house, path, signal.SIGTERM)
    saved = next((path / "checkpoints").glob("step-*/model.safetensors"))
    assert all("lora_" in name or "score" in name for name in load_file(saved))  # the base is not written again
    again = do(stage, house, path)
    for file in FILES:
        assert (whole.path / file).read_bytes() == (again.path / file).read_bytes()
    assert untimed(whole) == untimed(again)


def test_the_reference_of_ppo_is_the_policy_with_its_adapters_off(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[OnPolicySource] = []
    monkeypatch.setattr(ppo_stage, "train", lambda source, *_: seen.append(source))
    ppo(ppo_config(house, lora=LORA), Run(tmp_path, "ppo", seed=1))
    players = seen[0].players
    own = {p.data_ptr() for p in players.policy.parameters()}
    assert {p.data_ptr() for p in players.reference.parameters()} == own
    collected = seen[0].collect(0)
    assert torch.equal(collected.rollout.policy_logprobs, collected.rollout.reference_logprobs)


def test_a_policys_adapters_serve_wherever_a_model_does(house: Path, tmp_path: Path) -> None:
    """All of the merged weights learn, in a policy and under a reward model's head."""
    first = do("dpo", house, tmp_path / "first").path
    adapter, merged = str(first / "adapter"), load_file(first / "model" / "model.safetensors")
    dpo(dpo_config(house, model=adapter, optim={"lr": 2e-2}), Run(tmp_path / "dpo", "dpo", seed=1))
    config = RewardConfig(model=adapter, data=[str(house / "rankings.jsonl")], prompts_per_step=2, optim={"lr": 2e-2})
    reward(config, Run(tmp_path / "reward", "reward", seed=1))
    for stage in ("dpo", "reward"):
        learned = load_file(tmp_path / stage / "model" / "model.safetensors")
        assert not torch.equal(learned["model.embed_tokens.weight"], merged["model.embed_tokens.weight"])
    backbone = open_model(AutoModelForSequenceClassification, adapter, new=frozenset({"score.weight"}), num_labels=1)
    for name, tensor in backbone.base_model.state_dict().items():
        assert torch.equal(tensor, merged[f"model.{name}"])


def test_ppo_refuses_another_reference_beside_adapters(house: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with lora the reference is the model with its adapters off; leave"):
        ppo(ppo_config(house, lora=LORA, reference=str(house / "reward")), Run(tmp_path, "ppo", seed=1))


def test_settings_that_nothing_would_read_are_refused(house: Path) -> None:
    with pytest.raises(ValueError, match="rank is 0, so no adapters are made"):
        dpo_config(house, lora={"alpha": 8})


def test_dpo_learns_with_adapters(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, "dpo", seed=1)
    dpo(dpo_config(house, lora={"rank": 4}, optim={"lr": 2e-2}), run)
    assert untimed(run)[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert run.summary["loss"] < 0.5
