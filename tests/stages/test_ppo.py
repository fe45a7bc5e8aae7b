"""The PPO stage on a tiny model: files in, a policy out; stops, budgets and bad input."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "sampling")]
from rl_house import build, ppo_config, steered, untimed
from vllm_stand_in import stub_server

from heedful.config import Architecture, BlendPart
from heedful.data.chat import Chat, train_tokenizer
from heedful.errors import InputError, ResourceError, Stopped
from heedful.models.loading import Affine, new_policy, save_policy
from heedful.rewards.blend import Fitted, save_blend
from heedful.run import Run, read_metrics
from heedful.stages.ppo import ppo


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("house"))


def iterations(run: Run) -> list[dict[str, float]]:
    """The lines that stand for iterations: the loop also writes one after the very first update."""
    return [row for row in read_metrics(run.path / "metrics.jsonl") if "reward/mean" in row]


def test_leaves_a_policy_and_its_story(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    ppo(ppo_config(house), run)
    AutoModelForCausalLM.from_pretrained(run.model)
    rows = iterations(run)
    assert [row["step"] for row in rows] == [4, 8, 12]
    wanted = {"reward/mean", "reward/std", "reward/total", "reward/raw", "kl/reference", "kl/k1", "kl/k3"}
    wanted |= {"kl/coefficient", "policy/entropy", "ratio/mean", "ratio/variance", "ratio/clipped", "ratio/kl"}
    wanted |= {"value/explained_variance", "loss/policy", "loss/value", "answers/eos", "answers/length", "sampler/gap"}
    wanted |= {"time/sample", "time/reward", "time/forward", "time/advantage", "time/update", "memory/peak_mb"}
    assert all(wanted <= row.keys() for row in rows)
    assert rows[0]["kl/reference"] == pytest.approx(0, abs=1e-6)
    assert rows[0]["reward/mean"] == pytest.approx((rows[0]["reward/raw"] - 0.2) / 0.5, abs=1e-5)
    assert run.summary["stopped"] == ""
    assert run.summary["kept_iteration"] == 3
    assert run.summary["beta_log_odds"] == pytest.approx(0.05)
    assert any("0.05 in the reward's log-odds" in line for line in said)
    assert {path.name for path in run.path.iterdir() if not path.name.startswith(".")} == {
        "model",
        "checkpoints",
        "metrics.jsonl",
        "samples.jsonl",
    }


def test_the_update_is_timed_where_it_is_one_step(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    once = {"iterations": 2, "prompts": 8, "epochs": 1, "minibatches": 1, "critic_warmup": 0}
    ppo(ppo_config(house, algorithm=once), run)
    rows = iterations(run)
    assert len(rows) == 2
    for row in rows:
        phases = sum(row[f"time/{name}"] for name in ("sample", "reward", "forward", "advantage", "update"))
        assert min(row["time/update"], row["time/advantage"]) > 0 and phases <= row["time/step"]


def test_beta_is_told_in_a_blends_log_odds_too(house: Path, tmp_path: Path) -> None:
    parts = {
        "head": Fitted(BlendPart(model=str(house / "reward")), 1.0, 0.0, 1.0),
        "likely": Fitted(BlendPart(model=str(house / "sft"), per_token=True), 1.0, 0.0, 1.0),
    }
    (tmp_path / "blend").mkdir()
    save_blend(tmp_path / "blend", parts, Affine(mean=0.0, std=4.0))
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    once = {"iterations": 1, "prompts": 8, "epochs": 1, "minibatches": 2, "critic_warmup": 0}
    ppo(ppo_config(house, rewards={"model": str(tmp_path / "blend")}, algorithm=once, kl={"coefficient": 0.1}), run)
    assert run.summary["beta_log_odds"] == pytest.approx(0.4)


def test_a_stopped_run_ends_like_an_unbroken_one(house: Path, tmp_path: Path) -> None:
    whole, stopped = Run(tmp_path / "whole", "ppo", seed=1), Run(tmp_path / "stopped", "ppo", seed=1)
    ppo(steered(house), whole)
    stopped.stopper.signal = 15
    with pytest.raises(Stopped):
        ppo(steered(house), stopped)
    assert not stopped.model.exists()
    again = Run(tmp_path / "stopped", "ppo", seed=1)
    ppo(steered(house), again)
    assert untimed(again) == untimed(whole)
    assert (again.path / "samples.jsonl").read_bytes() == (whole.path / "samples.jsonl").read_bytes()
    assert (again.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


def test_a_server_may_sample_and_when_it_dies_the_same_command_goes_on(house: Path, tmp_path: Path) -> None:
    path = tmp_path / "ppo"
    with stub_server() as server:
        server.answers_left = 1 + 8 + 4  # the first rollout with the look before it, and a part of the second
        with pytest.raises(ResourceError, match="run the same command again") as caught:
            ppo(ppo_config(house, sampler={"type": "vllm_server", "url": server.url}), Run(path, "ppo", seed=1))
        assert caught.value.exit_code == 4
    with stub_server() as server:
        run = Run(path, "ppo", seed=1)
        ppo(ppo_config(house, sampler={"type": "vllm_server", "url": server.url}), run)
        assert len(server.engine.loaded) == 3  # for the two rollouts that were missing, and the one at the end
    rows = iterations(run)
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert max(row["sampler/gap"] for row in rows) < 1e-4


def test_leaving_the_budget_keeps_the_last_weights_within_it(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    eager = {"kl": {"stop": 0.02, "coefficient": 0.0}, "optim": {"lr": 3e-2}}
    short = {"iterations": 9, "prompts": 8, "epochs": 2, "minibatches": 2, "critic_warmup": 0}
    ppo(ppo_config(house, algorithm=short, **eager), run)
    assert "beyond kl.stop = 0.02" in run.summary["stopped"]
    assert run.summary["kl"] <= 0.02
    if run.summary["kept_iteration"] == 0:  # then nothing that was learned was within the budget
        start = load_file(house / "sft" / "model.safetensors")
        kept = load_file(run.model / "model.safetensors")
        assert all(torch.equal(start[name], kept[name]) for name in start)
    weights = (run.model / "model.safetensors").read_bytes()
    shutil.rmtree(run.model)  # killed after training, before the manifest: the same command ends the same way
    ppo(ppo_config(house, algorithm=short, **eager), run)
    assert (run.model / "model.safetensors").read_bytes() == weights


def test_greedy_rollouts_are_refused(house: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="temperature"):
        ppo(ppo_config(house, generation={"temperature": 0.0}), Run(tmp_path / "ppo", "ppo", seed=1))


def test_the_critic_begins_in_the_units_that_are_paid(house: Path, tmp_path: Path) -> None:
    """Copied from the reward model, its value before the last token is near the normalised score, not the log-odds."""
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    ppo(
        ppo_config(house, algorithm={"iterations": 1, "prompts": 8, "epochs": 1, "minibatches": 1, "critic_warmup": 0}),
        run,
    )
    (row,) = iterations(run)
    assert row["value/returns"] == pytest.approx(row["reward/total"], abs=1.5)


def test_a_reference_that_reads_other_tokens_is_refused(house: Path, tmp_path: Path) -> None:
    """Another number of tokens, and as many of other names: a KL between them would mean nothing."""
    shape = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=64)
    others = [f"{a}{b}{c} then {c}{a}{b}" for a in "xyzuvw" for b in "qkjpbm" for c in "rtlnds"]
    for name, texts in (("fewer", ["abcdefgh"]), ("others", others)):
        chat = Chat(train_tokenizer(texts, 300))
        save_policy(new_policy(shape, chat, seed=0), chat, tmp_path / name)
        config = ppo_config(house, reference=str(tmp_path / name), kl={"apart": True})
        with pytest.raises(InputError, match="has another vocabulary than model = .*give the model that training"):
            ppo(config, Run(tmp_path / f"to-{name}", "ppo", seed=1))
    same, other = Chat.load(house / "sft"), Chat.load(tmp_path / "others")
    assert len(same.tokenizer) == len(other.tokenizer)


def test_a_reference_that_is_not_where_training_starts_must_be_meant(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    shape = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=64)
    chat = Chat.load(house / "sft")
    save_policy(new_policy(shape, chat, seed=9), chat, tmp_path / "other")
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    other = str(tmp_path / "other")
    with pytest.raises(InputError, match=r"reference = .*other is not model = .*sft, .* or set kl.apart = true"):
        ppo(ppo_config(house, reference=other), run)
    assert not run.model.exists() and not (run.path / "metrics.jsonl").exists()
    ppo(ppo_config(house, reference=other, kl={"apart": True}), run)
    assert any("not the model that training starts from: KL begins above 0" in line for line in said)
    assert iterations(run)[0]["kl/reference"] > 0.001


def test_a_reference_said_to_be_another_must_be_one(house: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kl.apart says .*: set reference, or leave kl.apart out"):
        ppo_config(house, kl={"apart": True})
    shutil.copytree(house / "sft", tmp_path / "copy")
    for reference in (house / "sft", tmp_path / "copy"):
        same = ppo_config(house, reference=str(reference), kl={"apart": True})
        with pytest.raises(InputError, match="reference = .* is model = .*sft itself or a copy of it: leave kl.apart"):
            ppo(same, Run(tmp_path / "ppo", "ppo", seed=1))


def test_a_copy_of_the_model_is_as_good_a_reference(house: Path, tmp_path: Path) -> None:
    """Elsewhere, byte for byte the same: training starts at it, and is held to that."""
    shutil.copytree(house / "sft", tmp_path / "copy")
    config = ppo_config(house, reference=str(tmp_path / "copy"))
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    ppo(config, run)
    assert iterations(run)[0]["kl/reference"] == pytest.approx(0, abs=1e-6)
    (tmp_path / "copy" / "config.json").write_text((house / "sft" / "config.json").read_text() + " ")
    with pytest.raises(InputError, match="set kl.apart = true if it is meant"):
        ppo(config, Run(tmp_path / "again", "ppo", seed=1))
