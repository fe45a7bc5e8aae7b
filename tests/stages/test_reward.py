"""The reward stage: it learns who wins, sets its scale on SFT samples, and reports honestly."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heedful.config import Architecture, Optim, RewardConfig, Training
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.sources import read_completions
from heedful.errors import InputError, Stopped
from heedful.evaluate.reward_report import with_truth
from heedful.models.loading import Affine, load_reward_model, new_policy, save_policy
from heedful.records import Completion, Message, Prompt, Ranking, to_row
from heedful.rewards.model import ModelReward
from heedful.run import Run
from heedful.stages.reward import reward, sample_affine
from heedful.world import ladder

GOOD, FAIR, BAD = "Yes, with pleasure", "Maybe later", "No, go away"
WORDS = ("apple", "bread", "candle", "door", "engine", "flower", "garden", "house")


def prompt(index: int) -> Prompt:
    return Prompt(id=str(index), messages=(Message("user", f"Bring the {WORDS[index % 8]} {index}"),))


def ranking(index: int) -> Ranking:
    """Always GOOD > FAIR > BAD, in a turning order."""
    rng = np.random.default_rng(index)
    order = rng.permutation(3)
    texts = (GOOD, FAIR, BAD)
    return Ranking(
        prompt=prompt(index),
        completions=tuple(f"{texts[i]} {rng.integers(9)}" for i in order),
        ranks=tuple(int(i) for i in order),
        rater="r",
        rater_kind="simulated",
    )


def write(path: Path, records: list[Ranking] | list[Completion]) -> str:
    path.write_text("".join(json.dumps(to_row(record)) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy and the files that a recipe would give."""
    home = tmp_path_factory.mktemp("home")
    chat = Chat(train_tokenizer([GOOD, FAIR, BAD, *(prompt(i).messages[0].content for i in range(40))] * 3, 300))
    shape = Architecture(vocabulary=300, hidden=32, layers=2, heads=2, kv_heads=2, feedforward=48, context=96)
    save_policy(new_policy(shape, chat, 0), chat, home / "policy")
    held = [with_truth(r, [1 - rank / 2 for rank in r.ranks], [0.9] * 3) for r in map(ranking, range(200, 240))]
    write(home / "rankings.jsonl", [ranking(i) for i in range(200)])
    write(home / "heldout.jsonl", held)
    samples = [
        Completion(prompt=prompt(i), text=text, policy="sft")
        for i in range(300, 320)
        for text in (GOOD, FAIR, FAIR, BAD)
    ]
    write(home / "samples.jsonl", samples)
    return home


def config(home: Path, calibration: bool = True) -> RewardConfig:
    return RewardConfig(
        model=str(home / "policy"),
        data=[str(home / "rankings.jsonl")],
        heldout=[str(home / "heldout.jsonl")],
        calibration=[str(home / "samples.jsonl")] if calibration else [],
        optim=Optim(lr=3e-3),
        training=Training(tokens_per_batch=512, log_every=5),
    )


@pytest.fixture(scope="module")
def trained(home: Path) -> Run:
    run = Run(home / "run", "reward", 0)
    reward(config(home), run)
    return run


def test_it_learns_the_order_and_says_so(trained: Run) -> None:
    report = json.loads((trained.path / "reward.json").read_text())
    assert report["accuracy"] > 0.95 and report["gold_agreement"] == report["accuracy"]
    assert report["low"] <= report["accuracy"] <= report["high"]
    assert report["pairs"] == 120 and report["prompts"] == 40
    assert report["ceiling"] == pytest.approx(0.9)
    assert report["trained_on"] == {"rankings": 200, "comparisons": 600}
    assert trained.summary["accuracy"] == report["accuracy"]


def test_the_scale_is_that_of_the_samples(trained: Run, home: Path) -> None:
    samples = read_completions(home / "samples.jsonl")
    scores = ModelReward.load(trained.model).score([s.prompt for s in samples], [s.text for s in samples])
    affine = sample_affine(samples, [score.value for score in scores])
    assert affine.mean == pytest.approx(0.0, abs=1e-4) and affine.std == pytest.approx(1.0, abs=1e-4)


def test_the_same_seed_gives_the_same_model(trained: Run, home: Path) -> None:
    again = Run(home / "again", "reward", 0)
    reward(config(home), again)
    for name in ("model/model.safetensors", "reward.json"):
        assert (again.path / name).read_bytes() == (trained.path / name).read_bytes()


def test_without_samples_scores_stay_log_odds(home: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, "reward", 0)
    reward(config(home, calibration=False), run)
    assert load_reward_model(run.model, device="cpu")[2] == Affine(mean=0.0, std=1.0)


def test_the_scale_by_hand() -> None:
    samples = [Completion(prompt=prompt(i), text=t, policy="sft") for i in range(2) for t in "ab"]
    samples = [replace(sample, prompt=replace(sample.prompt, id="1")) for sample in samples]  # two files' first prompts
    affine = sample_affine(samples, [1.0, 3.0, 10.0, 14.0])
    assert affine.mean == pytest.approx(7.0)
    assert affine.std == pytest.approx(5.0**0.5)  # within-prompt variances 2 and 8


def test_samples_that_do_not_differ_have_no_scale() -> None:
    samples = [Completion(prompt=prompt(0), text=t, policy="sft") for t in "ab"]
    with pytest.raises(InputError, match="two completions a prompt"):
        sample_affine(samples, [1.0, 1.0])


def test_a_stopped_run_goes_on_to_the_same_bytes(trained: Run, home: Path) -> None:
    stopped = Run(home / "stopped", "reward", 0)
    stopped.stopper.signal = signal.SIGTERM
    with pytest.raises(Stopped):
        reward(config(home), stopped)
    assert not stopped.model.exists()
    again = Run(home / "stopped", "reward", 0)
    reward(config(home), again)
    for name in ("model/model.safetensors", "reward.json"):
        assert (again.path / name).read_bytes() == (trained.path / name).read_bytes()


def test_bad_files_are_refused_before_training(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x"}\n')
    run = Run(tmp_path / "run", "reward", 0)
    with pytest.raises(InputError, match=r"bad\.jsonl"):
        reward(config(home).model_copy(update={"heldout": [str(tmp_path / "bad.jsonl")]}), run)
    assert not run.checkpoints.exists()


def test_the_ladder_is_climbed_on_the_worlds_own_prompts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = ladder(families=["sum"], per_family=4, split="preference")
    held = [
        Ranking(prompt=prompt, completions=answers, ranks=(0, 1, 2), rater="r", rater_kind="simulated")
        for prompt, answers in rungs
    ]
    settings = config(home).model_copy(update={"heldout": [write(tmp_path / "held.jsonl", held)]})
    run = Run(tmp_path / "whole", "reward", 0)
    reward(settings, run)  # all families: more than this small model reads
    assert "ladder" not in json.loads((run.path / "reward.json").read_text())
    monkeypatch.setattr("heedful.stages.reward.ladder.ladder", lambda: rungs)
    run = Run(tmp_path / "run", "reward", 0)
    reward(settings, run)
    figures = json.loads((run.path / "reward.json").read_text())["ladder"]
    assert figures["prompts"] == len(rungs)
    assert 0 <= figures["right_order"] <= min(pair["rate"] for pair in figures["pairs"])
    assert figures["families"] == {"sum": figures["right_order"]}
