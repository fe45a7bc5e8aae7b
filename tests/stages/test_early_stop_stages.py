"""Early stop in the stages that have held-out data: looks are logged, and a stage that can't look says so."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import GOOD, QUESTIONS, build, dpo_config, held_out_twins, ppo_config, rankings, rl_config, untimed, write

from heedful.config import PretrainConfig, RewardConfig, SFTConfig
from heedful.errors import InputError
from heedful.run import Run
from heedful.stages.dpo import dpo
from heedful.stages.ppo import ppo
from heedful.stages.pretrain import pretrain
from heedful.stages.reward import reward
from heedful.stages.sft import sft


def early(metric: str, better: str = "lower", **training: object) -> dict[str, object]:
    stop = {"metric": metric, "better": better, "every": 2, "patience": 1}
    return {"epochs": 4, "log_every": 1, "early_stop": stop} | training


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("house"))
    write(folder / "demonstrations.jsonl", [{"prompt": text, "completion": GOOD} for text in QUESTIONS])
    return folder


@pytest.mark.parametrize("stage", ["pretrain", "sft", "dpo", "reward"])
def test_held_out_data_are_looked_at(stage: str, house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, stage, seed=1)
    model, pairs = str(house / "sft"), [str(house / "rankings.jsonl")]
    match stage:
        case "pretrain":
            text = str(house / "text.jsonl")
            held = write(tmp_path / "held.jsonl", [{"text": f"{text}?"} for text in QUESTIONS])
            training = early("heldout/loss")
            pretrain(PretrainConfig(model=model, data=text, heldout=held, tokens_per_step=64, training=training), run)
        case "sft":
            data, training = str(house / "demonstrations.jsonl"), early("heldout/loss")
            held = write(tmp_path / "held.jsonl", [{"prompt": f"{text}?", "completion": GOOD} for text in QUESTIONS])
            sft(SFTConfig(model=model, data=data, heldout=held, tokens_per_step=64, training=training), run)
        case "dpo":
            pairs = [held_out_twins(tmp_path)]
            dpo(dpo_config(house, heldout=pairs, training=early("heldout/rewards/accuracy", "higher")), run)
        case "reward":
            training, learn = early("heldout/loss"), [write(tmp_path / "learn.jsonl", rankings()[:4])]
            pairs = [write(tmp_path / "heldout.jsonl", rankings()[4:])]
            reward(RewardConfig(model=model, data=learn, heldout=pairs, prompts_per_step=2, training=training), run)
    rows = untimed(run)
    looks = [row for row in rows if "heldout/loss" in row]
    assert [row["step"] for row in looks][:1] == [2]
    if stage in ("pretrain", "sft"):
        assert run.summary["heldout/loss"] == pytest.approx(min(row["heldout/loss"] for row in looks), rel=1e-5)
    if stage == "dpo":  # its first look at all that it learns from has everything right: nothing is better
        assert looks[0]["heldout/rewards/accuracy"] == 1.0
        assert rows[-1]["step"] == 4


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_ppo_ends_early_with_the_weights_that_its_best_rollout_was_sampled_from(house: Path, tmp_path: Path) -> None:
    training = {"early_stop": {"metric": "kl/reference", "patience": 1}}
    run = Run(tmp_path, "ppo", seed=1)
    ppo(ppo_config(house, training=training, optim={"lr": 2e-2}), run)
    logged = [row["kl/reference"] for row in untimed(run) if "kl/reference" in row]
    assert logged[0] == pytest.approx(0.0, abs=1e-6)  # the start is nearest to the reference
    assert logged[1] > 0.01
    assert len(logged) == 2  # of three iterations
    start, kept = saved(house / "sft"), saved(run.model)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in start.items())
    assert run.summary["kl"] == pytest.approx(0.0, abs=1e-6)
    assert run.summary["kept_iteration"] == 0


def test_the_best_weights_stay_when_the_kl_leaves_its_budget(house: Path, tmp_path: Path) -> None:
    """Iteration 1 is within the budget, so its weights would be the ones to fall back to; 0 has the best look."""
    training = {"early_stop": {"metric": "kl/reference", "patience": 9}}
    algorithm = {"iterations": 9, "prompts": 8, "epochs": 2, "minibatches": 2, "critic_warmup": 0}
    watched, free = (Run(tmp_path / name, "ppo", seed=1) for name in ("watched", "free"))
    config = ppo_config(house, algorithm=algorithm, training=training, optim={"lr": 2e-2})
    ppo(config, free)
    kls = [row["kl/reference"] for row in untimed(free) if "kl/reference" in row]
    over = next(i for i in range(2, len(kls)) if kls[i] > max(kls[:i]))  # the first that a budget can stop at
    ppo(config.model_copy(update={"kl": config.kl.model_copy(update={"stop": max(kls[:over])})}), watched)
    assert "ended early with the best weights looked at" in watched.summary["stopped"]
    assert len([row for row in untimed(watched) if "kl/reference" in row]) == over
    start, kept = saved(house / "sft"), saved(watched.model)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in start.items())
    assert watched.summary["kept_iteration"] == 0


def test_practice_has_no_held_out_data(house: Path) -> None:
    for make in (ppo_config, partial(rl_config, kind="rloo")):
        with pytest.raises(ValueError, match="held-out data, which .* has none of: choose a logged metric"):
            make(house, training=early("heldout/loss", epochs=1, log_every=10))


@pytest.mark.parametrize("kind", ["kto", "bco"])
def test_a_look_has_the_baseline_of_the_weights_looked_at(kind: str, house: Path, tmp_path: Path) -> None:
    """z₀ and δ move with the policy: a look measures what the stage's end measures of the same weights."""
    run = Run(tmp_path, kind, seed=1)
    pairs = [held_out_twins(tmp_path)]
    dpo(dpo_config(house, loss={"type": kind}, heldout=pairs, training=early("heldout/loss")), run)
    looks = [row["heldout/loss"] for row in untimed(run) if "heldout/loss" in row]
    assert run.summary["loss"] == pytest.approx(min(looks), rel=1e-4)


def test_without_held_out_data_it_is_refused(house: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this stage has none: set heldout"):
        dpo(dpo_config(house, training=early("heldout/loss")), Run(tmp_path, "dpo", seed=1))
