"""The rl stage on a tiny model: every algorithm, resumed runs, several rewards, bad input."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import build, ppo_config, rl_config, untimed

from heedful.config import RLConfig
from heedful.config.rl import PAPER
from heedful.errors import InputError, Stopped
from heedful.run import Run, read_metrics
from heedful.stages.ppo import ppo
from heedful.stages.rl import rl

RULES = """
def shortness(prompt, completion):
    return -float(len(completion))

def broken(prompt, completion):
    return {}[prompt.id]

def nothing(prompt, completion):
    return float("nan")

def word(prompt, completion):
    return "good"

def even(prompt, completion):
    return 1.0 if prompt.id in "024" else float(len(completion) % 2)

def alike(prompt, completion):
    return 1.0
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("house"))
    (folder / "rules.py").write_text(RULES)
    return folder


def iterations(run: Run) -> list[dict[str, float]]:
    return [row for row in read_metrics(run.path / "metrics.jsonl") if "reward/mean" in row]


def paid_by(house: Path, function: str, **more: object) -> dict[str, object]:
    """Rewards of one function alone."""
    return {"parts": {"rule": {"type": "function", "function": f"{house / 'rules.py'}:{function}"} | more}}


@pytest.mark.parametrize("kind", PAPER)
def test_every_algorithm_leaves_a_policy_that_moved(house: Path, tmp_path: Path, kind: str) -> None:
    run = Run(tmp_path / kind, "rl", seed=1)
    rl(rl_config(house, kind), run)
    AutoModelForCausalLM.from_pretrained(run.model)
    rows = iterations(run)
    assert [row["step"] for row in rows] == [2, 4]
    wanted = {
        "reward/mean",
        "reward/total",
        "kl/reference",
        "kl/coefficient",
        "loss/policy",
        "loss/text",
        "sampler/gap",
    }
    wanted |= {"time/sample", "time/reward", "time/forward", "time/advantage", "time/update"}
    assert all(wanted <= row.keys() for row in rows)
    assert rows[0]["kl/reference"] == pytest.approx(0, abs=1e-6)
    start, end = load_file(house / "sft" / "model.safetensors"), load_file(run.model / "model.safetensors")
    assert any(not torch.equal(start[name], end[name]) for name in start)
    assert run.summary["stopped"] == ""


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo", "gspo", "cispo", "dapo"])
def test_the_first_loss_is_nought_where_advantages_cancel(house: Path, tmp_path: Path, kind: str) -> None:
    """Ratio 1, KL 0: one step over whole groups. By sequence the advantages sum to nought; by token they need not."""
    practice = {"iterations": 1, "prompts": 4, "completions": 4, "minibatches": 1}
    run = Run(tmp_path / kind, "rl", seed=1)
    rl(rl_config(house, kind, practice=practice, rewards=paid_by(house, "shortness")), run)
    (row,) = iterations(run)
    if kind in ("grpo", "gspo"):
        assert row["loss"] == pytest.approx(0.0, abs=1e-5)
    assert row["ratio/kl"] == pytest.approx(0.0, abs=1e-8) and row["loss/kl"] == pytest.approx(0.0, abs=1e-8)


def test_online_dpo_starts_at_log_two(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "rl", "rl", seed=1)
    practice = {"iterations": 1, "prompts": 4, "completions": 3, "minibatches": 1}
    rl(rl_config(house, "online_dpo", practice=practice), run)
    assert iterations(run)[0]["loss"] == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("kind", ["dapo", "nash_md"])
def test_a_stopped_run_ends_like_an_unbroken_one(house: Path, tmp_path: Path, kind: str) -> None:
    """With everything that has a state: adaptive β, a reference that follows, text mixed in, an opponent."""
    config = rl_config(
        house,
        kind,
        practice={"iterations": 3, "prompts": 4, "completions": 3, "minibatches": 2},
        kl={"type": "adaptive", "coefficient": 0.1, "target": 0.01, "horizon": 20, "ema": 0.3},
        ptx={"data": str(house / "text.jsonl"), "coefficient": 0.5, "tokens": 64},
    )
    whole, stopped = Run(tmp_path / "whole", "rl", seed=1), Run(tmp_path / "stopped", "rl", seed=1)
    rl(config, whole)
    stopped.stopper.signal = 15
    with pytest.raises(Stopped):
        rl(config, stopped)
    again = Run(tmp_path / "stopped", "rl", seed=1)
    rl(config, again)
    assert untimed(again) == untimed(whole)
    assert (again.path / "samples.jsonl").read_bytes() == (whole.path / "samples.jsonl").read_bytes()
    assert (again.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


def test_a_reference_that_follows_is_nearer(house: Path, tmp_path: Path) -> None:
    ends = {}
    for ema in (0.0, 0.9):
        run = Run(tmp_path / str(ema), "ppo", seed=1)
        ppo(ppo_config(house, kl={"ema": ema}, optim={"lr": 1e-2}), run)
        ends[ema] = iterations(run)[-1]["kl/reference"]
    assert 0 < ends[0.9] < 0.5 * ends[0.0]


def test_exact_kl_in_the_loss_holds_the_policy(house: Path, tmp_path: Path) -> None:
    ends = {}
    for beta in (0.0, 5.0):
        run = Run(tmp_path / str(beta), "rl", seed=1)
        config = rl_config(
            house,
            "grpo",
            algorithm={"type": "grpo", "penalty": "exact"},
            kl={"coefficient": beta},
            practice={"iterations": 8, "prompts": 4, "minibatches": 2, "completions": 4},
            optim={"lr": 1e-2},
        )
        rl(config, run)
        ends[beta] = iterations(run)[-1]["kl/reference"]
    assert ends[5.0] < 0.5 * ends[0.0]


@pytest.mark.parametrize(
    ("kind", "beta"), [("rloo", 0.0), ("reinforce_pp", 0.0), ("online_dpo", 0.02), ("xpo", 0.02), ("nash_md", 0.0)]
)
def test_practice_learns_a_rule(house: Path, tmp_path: Path, kind: str, beta: float) -> None:
    """A sign turned anywhere between the reward and the step would teach the rule's opposite."""
    run = Run(tmp_path / "rl", "rl", seed=1)
    practice = {"iterations": 22, "prompts": 6, "completions": 8, "minibatches": 1}
    rewards = paid_by(house, "shortness", std=5.0) | {"missing_eos_penalty": 0.0}
    free = {"kl": {"coefficient": beta}, "optim": {"lr": 3e-2}}
    rl(rl_config(house, kind, practice=practice, rewards=rewards, **free), run)
    rows = iterations(run)
    assert rows[-1]["reward/rule"] > rows[0]["reward/rule"] + 1.0
    assert rows[-1]["reward/mean"] == pytest.approx(rows[-1]["reward/rule"] / 5.0, rel=1e-4)


def test_several_rewards_are_weighed_and_logged_by_name(house: Path, tmp_path: Path) -> None:
    rewards = paid_by(house, "shortness", weight=0.5) | {"model": str(house / "reward"), "missing_eos_penalty": 0.0}
    run = Run(tmp_path / "rl", "rl", seed=1)
    rl(rl_config(house, "rloo", rewards=rewards), run)
    for row in iterations(run):
        assert row["reward/mean"] == pytest.approx(row["reward/model"] + 0.5 * row["reward/rule"], abs=1e-4)


def test_dynamic_sampling_replaces_groups_that_are_paid_alike(house: Path, tmp_path: Path) -> None:
    """Half of the prompts pay every answer alike: with rounds left, others stand in for them."""
    shares = {}
    for rounds in (1, 6):
        config = rl_config(
            house,
            "dapo",
            algorithm={"type": "dapo", "rounds": rounds},
            rewards=paid_by(house, "even") | {"missing_eos_penalty": 0.0},
            practice={"iterations": 1, "prompts": 4, "completions": 6, "minibatches": 2},
        )
        run = Run(tmp_path / str(rounds), "rl", seed=1)
        rl(config, run)
        shares[rounds] = iterations(run)[0]["groups/informative"]
    assert shares[1] < 1.0
    assert shares[6] == 1.0


def test_where_every_group_is_paid_alike_nothing_is_learned_and_nothing_breaks(house: Path, tmp_path: Path) -> None:
    rewards = paid_by(house, "alike") | {"missing_eos_penalty": 0.0}
    run = Run(tmp_path / "rl", "rl", seed=1)
    rl(rl_config(house, "dapo", rewards=rewards), run)
    start, end = load_file(house / "sft" / "model.safetensors"), load_file(run.model / "model.safetensors")
    assert all(torch.equal(start[name], end[name]) for name in start)
    assert iterations(run)[0]["groups/informative"] == 0.0


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("broken", r"rules\.py:broken failed on the answer .* to prompt '\d': .*rules\.py, line \d+: KeyError"),
        ("nothing", r"rules\.py:nothing gave nan for the answer .*: a reward must be finite"),
        ("word", r"rules\.py:word gave 'good' .*: a reward must be a number"),
        ("absent", r"has no function 'absent' \(functions there: .*shortness"),
    ],
)
def test_a_faulty_reward_stops_the_run_before_its_first_step(
    house: Path, tmp_path: Path, function: str, sentence: str
) -> None:
    run = Run(tmp_path / "rl", "rl", seed=1)
    with pytest.raises(InputError, match=sentence):
        rl(rl_config(house, "rloo", rewards=paid_by(house, function)), run)
    assert not (run.path / "metrics.jsonl").exists() or not read_metrics(run.path / "metrics.jsonl")
    assert not run.model.exists()


def test_ppo_takes_functions_and_a_critic_of_its_own(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "ppo", "ppo", seed=1)
    short = {"iterations": 2, "prompts": 8, "minibatches": 2, "critic_warmup": 0, "critic": str(house / "reward")}
    ppo(ppo_config(house, rewards=paid_by(house, "shortness"), algorithm=short), run)
    assert all(row["reward/rule"] == pytest.approx(row["reward/mean"]) for row in iterations(run))


def refused(house: Path, kind: str, **sections: object) -> str:
    with pytest.raises(ValueError) as fault:
        rl_config(house, kind, **sections)
    return str(fault.value)


def test_settings_that_make_no_sense_are_refused(house: Path) -> None:
    assert "must be at least 2" in refused(house, "rloo", practice={"completions": 1})
    assert "must be at least 2" in refused(house, "online_dpo", practice={"completions": 1})
    assert "must be above 0" in refused(house, "xpo", kl={"coefficient": 0.0})
    assert "nothing is paid for" in refused(house, "rloo", rewards={})
    assert "no meaning for rl" in refused(house, "rloo", training={"epochs": 2})
    assert "within_prompt" in refused(
        house, "reinforce_pp", rewards=paid_by(house, "even", within_prompt=True), practice={"completions": 1}
    )
    steered = {"type": "adaptive"}
    assert "set kl.coefficient above 0" in refused(house, "dapo", kl=steered)  # its paper's β is 0
    practice = {"prompts": 4, "completions": 8}
    short = refused(house, "grpo", kl=steered | {"horizon": 31}, practice=practice)
    assert "kl.horizon = 31 is shorter than a rollout of 32 answers" in short
    assert rl_config(house, "grpo", kl=steered | {"horizon": 32}, practice=practice).kl.horizon == 32
    with pytest.raises(ValueError, match="horizon = 7 is shorter than a rollout of 8"):
        ppo_config(house, kl=steered | {"horizon": 7})
    assert "kl.apart says" in refused(house, "rloo", kl={"apart": True})
    for kind in ("nash_md", "xpo"):
        one = paid_by(house, "even", within_prompt=True)
        assert f"{kind} compares" in refused(house, kind, rewards=one, practice={"completions": 4})
    assert "has no meaning" in refused(house, "xpo", importance_cap=2.0)
    assert "would shrink tokens" in refused(house, "rloo", importance_cap=0.5)
    with pytest.raises(ValueError, match="would shrink tokens"):
        ppo_config(house, algorithm={"importance_cap": 0.5})
    with pytest.raises(ValueError, match="critic starts from a reward model"):
        ppo_config(house, rewards=paid_by(house, "even"))
    with pytest.raises(ValueError, match="within_prompt"):
        rewards = paid_by(house, "even", within_prompt=True) | {"model": str(house / "reward")}
        ppo_config(house, rewards=rewards)


def test_what_a_paper_sets_gives_way_to_what_is_given(house: Path) -> None:
    def made(kind: str, **sections: object) -> RLConfig:
        return RLConfig.model_validate(
            {"model": "m", "prompts": "p", "rewards": {"model": "r"}, "algorithm": {"type": kind}} | sections
        )

    assert made("grpo").kl.coefficient == 0.04
    assert made("grpo", kl={"stop": 5.0}).kl.coefficient == 0.04
    assert made("grpo", kl={"coefficient": 0.2}).kl.coefficient == 0.2
    assert (made("dapo").rewards.overlong, made("rloo").rewards.overlong) == (0.2, 0.0)
    assert made("dapo", rewards={"model": "r", "missing_eos_penalty": 0}).rewards.overlong == 0.0
    assert made("dapo", rewards={"model": "r", "overlong": 0.3}).rewards.overlong == 0.3
    assert (made("rloo").practice.completions, made("xpo").practice.completions) == (4, 1)
    again = made("dapo", kl={"coefficient": 0.3})
    assert RLConfig.model_validate(again.model_dump()) == again


@pytest.mark.parametrize("kind", ["xpo", "grpo"])
def test_adapters_alone_learn(house: Path, tmp_path: Path, kind: str) -> None:
    """The reference is what the adapters stand on: to be read, with a gradient beside it, and to be sampled from."""
    algorithm = {"type": kind} | ({"penalty": "exact"} if kind == "grpo" else {})
    run = Run(tmp_path / kind, "rl", seed=1)
    practice = {"iterations": 3, "prompts": 4, "completions": 2, "minibatches": 2}
    config = rl_config(house, kind, algorithm=algorithm, practice=practice, lora={"rank": 4}, optim={"lr": 3e-2})
    rl(config, run)
    assert iterations(run)[-1]["kl/reference"] > 1e-4
    AutoModelForCausalLM.from_pretrained(run.model)
    assert "drop lora" in refused(house, "nash_md", lora={"rank": 4})
    assert "drop one of them" in refused(house, "rloo", lora={"rank": 4}, kl={"ema": 0.5})
