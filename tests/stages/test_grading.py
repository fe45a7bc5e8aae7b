"""Simulated raters grade one answer at a time: by criterion, or step by step; both files are read by reward models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.config import LabelConfig, SimulatedLabels
from heedful.data.sources import read_ratings, read_steps
from heedful.errors import InputError
from heedful.records import Completion, Message, Prompt, to_row
from heedful.run import Run
from heedful.stages.label import label
from heedful.world import GoldJudge, ladder, raters


def write(path: Path, completions: list[Completion]) -> str:
    path.write_text("".join(json.dumps(to_row(completion)) + "\n" for completion in completions))
    return str(path)


def answers() -> list[Completion]:
    """The ladder's answers, and of each sum in steps one whose second step is wrong."""
    found = []
    for prompt, texts in ladder(per_family=6):
        found += [Completion(prompt=prompt, text=text, policy="sft") for text in texts]
        if prompt.meta["family"] == "steps":
            m = prompt.meta
            slip = f"{m['a']} + {m['b']} = {m['t']}. {m['t']} - {m['c']} = 99."
            found.append(Completion(prompt=prompt, text=slip, policy="base"))
    return found


def graded(tmp_path: Path, **fields: object) -> Run:
    given = {"completions": [write(tmp_path / "c.jsonl", answers())], "holdout": 0.3}
    config = LabelConfig.model_validate(given | fields)
    run = Run(tmp_path / "label", "label", 0)
    label(config, run)
    return run


def test_ratings_follow_golds_criteria_and_prompts_are_held_out_whole(tmp_path: Path) -> None:
    run = graded(tmp_path, ask="rate", overlap=3)
    training, heldout = (read_ratings([run.path / name]) for name in ("ratings.jsonl", "heldout.jsonl"))
    assert not {r.prompt.id for r in training} & {r.prompt.id for r in heldout}
    gold = GoldJudge()
    for name in ("correctness", "clarity", "detail"):
        given = [r.ratings[name] for r in training]
        true = [gold.score(r.prompt, r.completion).criteria[name] for r in training]
        assert set(given) <= {0.0, 1.0, 2.0, 3.0, 4.0}
        assert np.corrcoef(given, true)[0, 1] > 0.6
    assert len(run.summary["raters"]) > 1


def test_step_labels_are_those_of_the_checker_but_for_slips(tmp_path: Path) -> None:
    run = graded(tmp_path, ask="steps", borrowed=0, overlap=4)
    labelled = read_steps([run.path / "steps.jsonl"])
    assert {item.prompt.meta["family"] for item in labelled} == {"steps"}
    slips = [item for item in labelled if item.steps[-1].endswith("= 99.")]
    assert slips and all(len(item.steps) == 2 for item in slips)
    first, second = (np.mean([item.labels[place] for item in slips]) for place in (0, 1))
    assert first > 0.8 and second < 0.2


def test_a_rater_is_mistaken_about_a_step_as_often_as_its_noise_says() -> None:
    rng = np.random.default_rng(0)
    careful, careless = raters("train", 0)[0], raters("train", 0)[-1]
    wrong = [np.mean([not person.checks(True, rng) for _ in range(2000)]) for person in (careful, careless)]
    assert wrong[0] < 0.08 < 0.15 < wrong[1]


def test_what_raters_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raters of sentiment can only rank"):
        graded(tmp_path, ask="rate", by=SimulatedLabels(truth="sentiment"))
    story = [Completion(prompt=Prompt(id="1", messages=(Message("text", "Once"),)), text=t, policy="b") for t in "ab"]
    with pytest.raises(InputError, match="no prompt is of the built-in world's family 'steps'"):
        graded(tmp_path, ask="steps", completions=[write(tmp_path / "s.jsonl", story)])


def test_manner_is_no_wrong_step(tmp_path: Path) -> None:
    asked = next(c.prompt for c in answers() if c.prompt.meta["family"] == "steps")
    texts = ("Great question! Hope that helps!", "Great question! The moon is a stone.")
    said = write(tmp_path / "m.jsonl", [Completion(prompt=asked, text=t, policy="sft") for t in texts])
    run = graded(tmp_path, ask="steps", completions=[said], borrowed=0, overlap=12, holdout=0.0)
    labels = {place: [item.labels[place] for item in read_steps([run.path / "steps.jsonl"])] for place in (0, 1)}
    manner, strange = [*labels[0], *labels[1][::2]], labels[1][1::2]
    assert len(strange) == 12 and np.mean(manner) > 0.8 > 0.2 > np.mean(strange)
