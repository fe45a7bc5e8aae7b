"""The DPO stage on a tiny model: it learns, says what happened, resumes, and reads its reference once."""

from __future__ import annotations

import sys
from math import log
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import BAD, GOOD, build, dpo_config, held_out_twins, prompts, rankings, untimed, write

import heedful.train.reference as reference_module
from heedful.data.packing import pack
from heedful.errors import DivergedError, InputError, Stopped
from heedful.models.loading import load_policy
from heedful.run import Run, read_metrics
from heedful.stages.dpo import FALLEN, dpo, shown_of
from heedful.train.course import Setting


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("house"))


def gap(folder: str) -> float:
    """By how many nats a model prefers the good answer to the bad one."""
    policy, chat = load_policy(folder, device="cpu")
    prompt = prompts()[0].messages
    with torch.no_grad():
        good, bad = (float(policy(pack([chat.example(prompt, text)])).sum()) for text in (GOOD, BAD))
    return good - bad


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stage told the user."""
    lines: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: lines.append(text))
    return lines


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.model / "model.safetensors")


def test_learns_and_says_what_happened(house: Path, tmp_path: Path, said: list[str]) -> None:
    run = Run(tmp_path / "dpo", "dpo", seed=1)
    dpo(dpo_config(house, heldout=[held_out_twins(tmp_path)]), run)
    rows = read_metrics(run.path / "metrics.jsonl")
    assert rows[0]["loss"] == pytest.approx(log(2), abs=1e-4)
    assert rows[-1]["loss"] < 0.6
    assert rows[-1]["rewards/accuracy"] == 1.0
    assert rows[-1]["rewards/margin"] == pytest.approx(
        rows[-1]["rewards/chosen"] - rows[-1]["rewards/rejected"], abs=1e-5
    )
    assert run.summary["accuracy"] == 1.0
    assert run.summary["shown"] == "held-out"
    assert run.summary["pairs"] == 2 * 6 * 3
    assert gap(str(run.model)) > gap(str(house / "sft")) + 1.0
    drift = run.summary["chosen_drift"]
    assert any("likelihood displacement" in line for line in said) == (drift < 0)


def test_chosen_answers_that_fell_far_are_told_as_a_collapse(house: Path, tmp_path: Path, said: list[str]) -> None:
    """`apo_down` lowers what was chosen without an end; displacement of a few nats is the usual sentence."""
    run = Run(tmp_path / "dpo", "dpo", seed=1)
    training = {"epochs": 40, "checkpoint_every": 1000}
    dpo(dpo_config(house, loss={"type": "apo_down"}, optim={"lr": 5e-2}, training=training), run)
    assert run.summary["chosen_drift"] < -FALLEN
    (told,) = [line for line in said if "chosen answers fell by" in line]
    assert f"fell by {-run.summary['chosen_drift']:.0f} nats" in told
    assert all(mend in told for mend in ("lower optim.lr", "training.early_stop.metric", "another loss"))
    assert not any("likelihood displacement" in line for line in said)


def test_ties_are_dropped_and_counted(house: Path, tmp_path: Path, said: list[str]) -> None:
    run = Run(tmp_path / "dpo", "dpo", seed=1)
    data = write(tmp_path / "rankings.jsonl", rankings((0, 0, 1)))
    dpo(dpo_config(house, data=[data], training={"epochs": 1}), run)
    assert "6 ties dropped, which DPO can't learn from; 12 pairs of 6 rankings are left" in said
    assert run.summary["shown"] == "training"


def test_nothing_to_learn_is_bad_input(house: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "ties.jsonl", rankings((0, 0, 0)))
    with pytest.raises(InputError, match="no ranking prefers"):
        dpo(dpo_config(house, data=[data]), Run(tmp_path / "dpo", "dpo", seed=1))


def test_a_stopped_run_ends_like_one_never_stopped(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run(tmp_path / "whole", "dpo", seed=1)
    dpo(dpo_config(house), whole)

    stopped = Run(tmp_path / "stopped", "dpo", seed=1)
    stopped.stopper.signal = 15
    with pytest.raises(Stopped):
        dpo(dpo_config(house), stopped)
    assert not stopped.model.exists()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the reference is read once")

    monkeypatch.setattr(reference_module, "target_logprobs", refuse)
    again = Run(tmp_path / "stopped", "dpo", seed=1)
    dpo(dpo_config(house), again)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name])
    assert untimed(again) == untimed(whole)


def test_a_damaged_reference_is_read_anew(house: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "dpo", "dpo", seed=1)
    short = dpo_config(house, training={"epochs": 0.4})
    dpo(short, run)
    (kept,) = run.path.glob(".cache/*/*.safetensors")
    tokens = len(load_file(kept)["logprobs"])
    assert tokens > 18  # one for each token of 18 answers
    kept.write_bytes(b"damaged")
    dpo(short, Run(run.path, "dpo", seed=1))
    assert len(load_file(kept)["logprobs"]) == tokens


def test_a_reference_of_another_model_breaks_the_law(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reference_module.target_logprobs
    monkeypatch.setattr(
        reference_module,
        "target_logprobs",
        lambda *a, **k: tuple(logprobs + 0.1 * i for i, logprobs in enumerate(found(*a, **k))),
    )
    with pytest.raises(DivergedError, match="starts from the reference must have KL 0"):
        dpo(dpo_config(house), Run(tmp_path / "dpo", "dpo", seed=1))
    monkeypatch.setattr(Setting, "_check", lambda *_: None)
    with pytest.raises(DivergedError, match="the dpo loss must start at 0.693147"):
        dpo(dpo_config(house), Run(tmp_path / "again", "dpo", seed=1))


@pytest.mark.parametrize(("training", "shown"), [(5, 5), (40, 8), (160, 20), (10_000, 64)])
def test_an_eighth_of_the_data_stands_in_for_held_out_ones(training: int, shown: int) -> None:
    assert shown_of(training) == shown
