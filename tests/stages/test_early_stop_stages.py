"""Early stop in the stages that have held-out data: looks are logged, and a stage that can't look says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import GOOD, QUESTIONS, build, dpo_config, held_out_twins, ppo_config, rankings, untimed, write

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
            training = early("heldout/loss")
            pretrain(PretrainConfig(model=model, data=text, heldout=text, tokens_per_step=64, training=training), run)
        case "sft":
            data, training = str(house / "demonstrations.jsonl"), early("heldout/loss")
            sft(SFTConfig(model=model, data=data, heldout=data, tokens_per_step=64, training=training), run)
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


def test_ppo_ends_early_on_what_it_logs(house: Path, tmp_path: Path) -> None:
    training = {"early_stop": {"metric": "kl/reference", "patience": 1}}
    run = Run(tmp_path, "ppo", seed=1)
    ppo(ppo_config(house, training=training, optim={"lr": 2e-2}), run)
    logged = [row["kl/reference"] for row in untimed(run) if "kl/reference" in row]
    assert logged[0] == pytest.approx(0.0, abs=1e-6)  # the start is nearest to the reference
    assert len(logged) == 2  # of three iterations
    assert run.summary["kl"] == pytest.approx(logged[1], abs=0.5)


@pytest.mark.parametrize("kind", ["kto", "bco"])
def test_a_look_has_the_baseline_of_the_weights_looked_at(kind: str, house: Path, tmp_path: Path) -> None:
    """z₀ and δ move with the policy: a look measures what the stage's end measures of the same weights."""
    run = Run(tmp_path, kind, seed=1)
    pairs = [held_out_twins(tmp_path)]
    dpo(dpo_config(house, loss={"type": kind}, heldout=pairs, training=early("heldout/loss")), run)
    looks = [row["heldout/loss"] for row in untimed(run) if "heldout/loss" in row]
    assert run.summary["loss"] == pytest.approx(min(looks), rel=1e-4)
    assert min(looks) < looks[0] or len(looks) == 1


def test_without_held_out_data_it_is_refused(house: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this stage has none: set heldout"):
        dpo(dpo_config(house, training=early("heldout/loss")), Run(tmp_path, "dpo", seed=1))
