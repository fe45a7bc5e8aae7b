"""The stage with each of its losses on a tiny model: it learns, reads labels, and any cut of a step trains the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms" / "direct"))
from direct_house import PAIRED, UNPAIRED, named
from rl_house import BAD, GOOD, build, dpo_config, prompts, rankings, untimed, write

from heedful.config.direct import DirectLoss
from heedful.errors import InputError, Stopped
from heedful.records import Labelled, Message, Prompt
from heedful.run import CACHE, Run, read_metrics
from heedful.stages.dpo import dpo

RATES = {"simpo": 1e-2, "orpo": 1e-2, "dpo_norm": 1e-2, "wpo": 2e-2, "sppo": 3e-3}  # for 18 steps to show
KNOBS = {"sppo": {"beta": 0.05}, "wpo": {"beta": 1.0}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: lines.append(text))
    return lines


def labels() -> list[Labelled]:
    """Two answers to each prompt, one wanted."""
    return [Labelled(prompt=p, completion=t, label=t == GOOD) for p in prompts() for t in (GOOD, BAD)]


def renamed(prompt: Prompt) -> Prompt:
    """The same question with a mark, which makes it another one."""
    return replace(prompt, messages=(Message("user", f"{prompt.messages[0].content}?"),))


def trained(house: Path, path: Path, loss: dict[str, Any], **sections: object) -> Run:
    run = Run(path, "dpo", seed=1)
    dpo(dpo_config(house, loss=loss, **sections), run)
    return run


@pytest.mark.parametrize("loss", [*PAIRED, *UNPAIRED], ids=named)
def test_every_loss_learns_from_rankings(loss: DirectLoss, house: Path, tmp_path: Path) -> None:
    kind = named(loss)
    given = {"type": kind} | KNOBS.get(kind, {})
    run = trained(house, tmp_path / kind, given, optim={"lr": RATES.get(kind, 5e-3)})
    rows = read_metrics(run.path / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert run.summary["chosen_drift"] > run.summary["rejected_drift"]
    assert run.summary["accuracy"] > 0.6
    assert (run.path / CACHE).exists() == loss.reference
    saved, before = (load_file(folder / "model.safetensors") for folder in (run.model, house / "sft"))
    assert saved.keys() == before.keys()  # whatever stood around the policy in training


@pytest.mark.parametrize("kind", ["kto", "bco"])
def test_labels_are_read_as_they_are(kind: str, house: Path, tmp_path: Path, said: list[str]) -> None:
    data = write(tmp_path / "labels.jsonl", labels())
    heldout = write(tmp_path / "heldout.jsonl", [replace(each, prompt=renamed(each.prompt)) for each in labels()])
    run = trained(house, tmp_path / kind, {"type": kind}, data=[data], heldout=[heldout])
    assert run.summary["labels"] == 24 and run.summary["prompts"] == 12  # held-out ones included
    assert run.summary["accuracy"] >= 0.75  # here KTO's baseline rises with the answers, which all prompts share
    assert run.summary["chosen_drift"] > 0 > run.summary["rejected_drift"]
    assert not any("split" in line for line in said)


def test_rankings_are_split_for_losses_on_labels(house: Path, tmp_path: Path, said: list[str]) -> None:
    run = trained(house, tmp_path / "kto", {"type": "kto"}, training={"epochs": 1})
    assert "6 rankings split into single labels: what an answer won, and what it lost" in said
    assert run.summary["labels"] == 6 * 4  # best, worst, and the middle one both ways


@pytest.mark.parametrize("loss", ["kto", "bco", "ld_dpo", "wpo"])
def test_micro_batches_train_what_one_batch_trains(loss: str, house: Path, tmp_path: Path) -> None:
    """Also the baseline is one for the whole step, however it is cut."""
    whole, cut = (
        trained(
            house,
            tmp_path / f"{loss}-{tokens}",
            {"type": loss},
            prompts_per_step=3,
            training={"epochs": 2, "log_every": 1, "tokens_per_batch": tokens},
        )
        for tokens in (16384, 64)
    )
    for one, other in zip(untimed(whole), untimed(cut), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert len(untimed(whole)) == 4


@pytest.mark.parametrize("kind", ["kto", "bco"])
def test_a_stopped_run_on_labels_ends_like_one_never_stopped(kind: str, house: Path, tmp_path: Path) -> None:
    config = dpo_config(house, loss={"type": kind})
    whole = Run(tmp_path / "whole", "dpo", seed=1)
    dpo(config, whole)
    for _ in range(3):  # each time after one more step
        stopped = Run(tmp_path / "stopped", "dpo", seed=1)
        stopped.stopper.signal = 15
        with pytest.raises(Stopped):
            dpo(config, stopped)
    again = Run(tmp_path / "stopped", "dpo", seed=1)
    dpo(config, again)
    ends = [load_file(run.model / "model.safetensors") for run in (whole, again)]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    assert untimed(again) == untimed(whole)


def test_labels_are_refused_by_losses_on_pairs_and_the_mend_is_named(house: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "labels.jsonl", labels())
    with pytest.raises(InputError, match='"kto" or "bco" and reward with loss.type = "outcome", and `heedful convert'):
        trained(house, tmp_path / "dpo", {"type": "ipo"}, data=[data])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([label for label in labels() if label.label], "every label is true"),
        ([label for label in labels() if not label.label], "every label is false"),
        (labels()[:2], "1 prompts give no prompt with another prompt's answer"),
        (rankings((0, 0, 0)), "no ranking prefers"),
    ],
)
def test_labels_that_teach_nothing_are_bad_input(given: list[Any], sentence: str, house: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "labels.jsonl", given)
    with pytest.raises(InputError, match=sentence):
        trained(house, tmp_path / "kto", {"type": "kto"}, data=[data])


def test_labels_out_of_balance_are_told_with_the_weight_to_set(house: Path, tmp_path: Path, said: list[str]) -> None:
    few = [label for i, label in enumerate(labels()) if not label.label or i == 0]
    data = write(tmp_path / "labels.jsonl", few)
    trained(house, tmp_path / "kto", {"type": "kto"}, data=[data], training={"epochs": 0.4})
    assert any("set loss.desirable=6" in line for line in said)
    said.clear()
    balanced = {"type": "kto", "desirable": 6.0}
    trained(house, tmp_path / "again", balanced, data=[data], training={"epochs": 0.4})
    assert not any("set loss." in line for line in said)
    even = write(tmp_path / "even.jsonl", labels())
    for desirable, told in ((1.5, False), (1.8, True)):
        loss = {"type": "kto", "desirable": desirable}
        trained(house, tmp_path / str(desirable), loss, data=[even], training={"epochs": 0.4})
        assert any("set loss.undesirable=1.2" in line for line in said) == told


def test_margins_that_a_loss_does_not_read_are_told(house: Path, tmp_path: Path, said: list[str]) -> None:
    rows = [{"prompt": p.messages[0].content, "chosen": GOOD, "rejected": BAD, "margin": 1.5} for p in prompts()]
    data = write(tmp_path / "pairs.jsonl", rows)
    short = {"epochs": 0.4}
    trained(house, tmp_path / "ipo", {"type": "ipo"}, data=[data], training=short)
    assert any("margins are not read: the ipo loss has no place for them" in line for line in said)
    said.clear()
    run = trained(house, tmp_path / "dpo", {"type": "dpo"}, data=[data], training=short)
    assert not any("margins" in line for line in said)
    first = read_metrics(run.path / "metrics.jsonl")[0]["loss"]
    assert first == pytest.approx(torch.nn.functional.softplus(torch.tensor(1.5)).item(), abs=1e-4)


def test_split_rankings_tell_what_they_lose(house: Path, tmp_path: Path, said: list[str]) -> None:
    rows = [*rankings((0, 0, 1))[:3], *rankings((0, 0, 0))[3:]]
    rows[0] = replace(rows[0], margins=(0.0, 1.0, 1.0))
    data = write(tmp_path / "rankings.jsonl", rows)
    run = trained(house, tmp_path / "kto", {"type": "kto"}, data=[data], training={"epochs": 0.4})
    assert "12 ties dropped, which give no labels; 3 of the 6 rankings held nothing else" in said  # 3 · 1 + 3 · 3
    assert "the rankings' margins are not read: the kto loss has no place for them" in said
    assert run.summary["labels"] == 3 * 3
    said.clear()
    trained(house, tmp_path / "bco", {"type": "bco"}, training={"epochs": 0.4})
    assert not any("ties" in line or "margins" in line for line in said)


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_prompts_that_are_held_out_are_not_trained_on(kind: str, house: Path, tmp_path: Path, said: list[str]) -> None:
    rows, short = rankings(), {"epochs": 0.4}
    data, heldout = write(tmp_path / "data.jsonl", rows), write(tmp_path / "heldout.jsonl", rows[4:])
    run = trained(house, tmp_path / kind, {"type": kind}, data=[data], heldout=[heldout], training=short)
    what = "rankings" if kind == "dpo" else "judgements"
    assert f"2 {what} left out of training: their prompts are among the held-out ones" in said
    assert run.summary["rankings" if kind == "dpo" else "prompts"] == 4 + 2
    with pytest.raises(InputError, match="every prompt is held out"):
        trained(house, tmp_path / "none", {"type": kind}, data=[data], heldout=[data], training=short)


def test_an_unsure_judgement_pulls_less(house: Path, tmp_path: Path) -> None:
    """Raters who contradict each other, one of them a tenth as sure: the sure one is followed."""
    said = [(GOOD, BAD, 1.0), (BAD, GOOD, 0.1)]
    rows = [
        {"prompt": p.messages[0].content, "chosen": good, "rejected": bad, "weight": weight}
        for p in prompts()
        for good, bad, weight in said
    ]
    run = trained(house, tmp_path / "dpo", {"type": "dpo"}, data=[write(tmp_path / "pairs.jsonl", rows)])
    assert run.summary["chosen_drift"] - run.summary["rejected_drift"] > 1
    assert run.summary["accuracy"] == pytest.approx(1 / 1.1, abs=1e-4)


def test_the_share_of_flipped_labels_is_read_off_two_raters(house: Path, tmp_path: Path, said: list[str]) -> None:
    """Of six prompts two are judged both ways: d = 1/3, and training goes as with that ε given."""
    both = rankings() + rankings()[:4] + rankings((2, 1, 0))[4:]
    data = [write(tmp_path / "twice.jsonl", both)]
    rate = (1 - (1 - 2 / 3) ** 0.5) / 2
    for kind in ("robust", "cdpo"):
        found = trained(house, tmp_path / kind, {"type": kind, "epsilon": 0}, data=data)
        given = trained(house, tmp_path / f"{kind}-given", {"type": kind, "epsilon": rate}, data=data)
        assert found.summary["epsilon"] == pytest.approx(rate)
        assert untimed(found) == untimed(given)
    assert any("21.1% of labels are taken to be flipped" in line for line in said)
    with pytest.raises(InputError, match="no pair of answers was judged twice"):
        trained(house, tmp_path / "once", {"type": "robust", "epsilon": 0})
