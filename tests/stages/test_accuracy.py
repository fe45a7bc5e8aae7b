"""Reward models side by side on held-out rankings: known scores give known figures, and a filter counts its pairs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import BAD, GOOD, OTHER, build, dpo_config, prompts, rankings, write

from heedful.config import AccuracyConfig
from heedful.errors import InputError
from heedful.records import Completion, Message, Prompt
from heedful.rewards import Score
from heedful.run import Run
from heedful.stages import accuracy as stage
from heedful.stages.dpo import dpo


@dataclass
class Scorer:
    """Knows what each answer is worth."""

    worth: dict[str, float]

    def score(self, asked: Sequence[Prompt], texts: Sequence[str]) -> list[Score]:
        return [Score(self.worth[text], {}) for text in texts]


SCORERS = {
    "right": Scorer({GOOD: 2.0, OTHER: 1.0, BAD: 0.0}),
    "wrong": Scorer({GOOD: 0.0, OTHER: 1.0, BAD: 2.0}),
    "half": Scorer({GOOD: 1.0, OTHER: 0.0, BAD: 0.5}),  # good over both, and bad over other
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(stage, "load_reward", lambda folder: SCORERS[folder])
    return {"models": {name: name for name in SCORERS}, "data": [write(tmp_path / "heldout.jsonl", rankings())]}


def found(tmp_path: Path, config: dict[str, object]) -> dict[str, dict[str, float]]:
    run = Run(tmp_path / "accuracy", "accuracy", 0)
    stage.accuracy(AccuracyConfig.model_validate(config), run)
    return dict(json.loads((run.path / "accuracy.json").read_text()))


def completions(path: Path, *texts: str) -> str:
    return write(path, [Completion(prompt=p, text=t, policy="p", finish="eos") for p in prompts() for t in texts])


def test_of_three_pairs_a_ranking(tmp_path: Path, config: dict[str, object]) -> None:
    rows = found(tmp_path, config)
    assert {name: row["accuracy"] for name, row in rows.items()} == {"right": 1.0, "wrong": 0.0, "half": 0.6667}
    assert {row["pairs"] for row in rows.values()} == {18}


def test_only_pairs_of_given_answers_count(tmp_path: Path, config: dict[str, object]) -> None:
    rows = found(tmp_path, config | {"among": [completions(tmp_path / "own.jsonl", OTHER, BAD)]})
    assert {name: row["accuracy"] for name, row in rows.items()} == {"right": 1.0, "wrong": 0.0, "half": 0.0}
    assert {row["pairs"] for row in rows.values()} == {6}
    with pytest.raises(InputError, match="holds no pair of answers whose answers stand in"):
        found(tmp_path, config | {"among": [completions(tmp_path / "one.jsonl", GOOD)]})


def test_an_answer_to_another_prompt_of_the_same_id_is_not_the_given_one(
    tmp_path: Path, config: dict[str, object]
) -> None:
    rows = [
        Completion(prompt=replace(p, messages=(Message("user", "Else?"),)), text=t, policy="p", finish="eos")
        for p in prompts()
        for t in (GOOD, BAD)
    ]
    with pytest.raises(InputError, match="holds no pair of answers"):
        found(tmp_path, config | {"among": [write(tmp_path / "own.jsonl", rows)]})


def test_a_policy_of_a_direct_loss_is_judged_by_what_it_says_more_often_than_its_reference(tmp_path: Path) -> None:
    house = build(tmp_path / "house")
    run = Run(tmp_path / "dpo", "dpo", 1)
    dpo(dpo_config(house), run)
    config = {"reference": str(house / "sft"), "data": [str(house / "rankings.jsonl")]}
    models = {"start": str(house / "sft"), "trained": str(run.model)}
    rows = found(tmp_path, config | {"models": models})
    assert rows["start"]["accuracy"] == 0.5  # it differs from itself by nothing
    assert rows["trained"]["accuracy"] > 0.9
    kept = [json.loads(line) for line in (tmp_path / "accuracy" / "pairs.jsonl").read_text().splitlines()]
    assert len(kept) == 18 and all(row["gaps"]["start"] == 0 for row in kept)
    right = [row["gaps"]["trained"] > 0 for row in kept]
    assert sum(right) / len(right) == pytest.approx(rows["trained"]["accuracy"], abs=1e-4)
