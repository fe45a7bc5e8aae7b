"""Ratings by criterion and step labels: ours, HelpSteer's and TRL's spelling, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.data.sources import read_prompts, read_rankings, read_ratings, read_steps
from heedful.data.validate import validate
from heedful.errors import InputError
from heedful.records import Message, Prompt, Rating, StepLabels, to_row

HELPSTEER = {"prompt": "Two and two?", "response": "Four.", "helpfulness": 4, "verbosity": 1, "split": "train"}
TRL = {"prompt": "3 + 4 - 2?", "completions": ["3 + 4 = 7.", "7 - 2 = 4."], "labels": [True, False]}


def file(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_helpsteers_columns_are_criteria(tmp_path: Path) -> None:
    (rating,) = read_ratings([file(tmp_path, HELPSTEER)])
    assert rating.ratings == {"helpfulness": 4.0, "verbosity": 1.0}
    assert rating.completion == "Four." and rating.prompt.messages == (Message("user", "Two and two?"),)
    assert rating.prompt.meta == {"split": "train"}


def test_a_criterion_that_nobody_rated_is_absent(tmp_path: Path) -> None:
    (rating,) = read_ratings([file(tmp_path, HELPSTEER | {"verbosity": None})])
    assert rating.ratings == {"helpfulness": 4.0}


def test_a_response_without_any_rating_is_a_prompt(tmp_path: Path) -> None:
    path = file(tmp_path, {"prompt": "Two and two?", "response": "Four."})
    assert len(read_prompts(path)) == 1
    with pytest.raises(InputError, match="holds prompts, expected ratings by criterion"):
        read_ratings([path])


def test_steps_are_read_as_trl_writes_them(tmp_path: Path) -> None:
    (steps,) = read_steps([file(tmp_path, TRL)])
    assert steps.steps == ("3 + 4 = 7.", "7 - 2 = 4.") and steps.labels == (1.0, 0.0)
    (soft,) = read_steps([file(tmp_path, TRL | {"labels": [1, 0.25]})])
    assert soft.labels == (1.0, 0.25)


def test_our_own_records_come_back(tmp_path: Path) -> None:
    prompt = Prompt(id="1", messages=(Message("user", "Hi"),), meta={"family": "sum"})
    rating = Rating(prompt=prompt, completion="Ho", ratings={"a": 1.0, "b": 2.5}, rater="r", rater_kind="simulated")
    steps = StepLabels(prompt=prompt, steps=("x.", "y."), labels=(1.0, 0.5), rater="r", rater_kind="ai")
    assert read_ratings([file(tmp_path, to_row(rating))]) == [rating]
    assert read_steps([file(tmp_path, to_row(steps))]) == [steps]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (TRL | {"labels": [True]}, "field 'labels': found a list of 1, expected one for each of the 2 steps"),
        (TRL | {"labels": [1, -1]}, "field 'labels[1]': found the number -1"),
        (TRL | {"completions": ["a", ""]}, "field 'completions[1]'"),
        ({"prompt": "p", "completion": "c", "ratings": {"a": "good"}}, "field 'ratings.a': found"),
        ({"prompt": "p", "completion": "c", "ratings": {}}, "field 'ratings': found no ratings"),
    ],
)
def test_unsound_rows_name_field_and_mend(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = file(tmp_path, row)
    with pytest.raises(InputError) as error:
        read_steps([path]) if "labels" in row else read_ratings([path])
    assert said in str(error.value)
    assert validate(path).fault_count == 1


def test_each_kind_names_the_loss_that_it_serves(tmp_path: Path) -> None:
    ratings = file(tmp_path, HELPSTEER)
    assert 'loss.type = "regression"' in validate(ratings).serves
    with pytest.raises(InputError, match='holds ratings by criterion, expected rankings.*loss.type = "regression"'):
        read_rankings([ratings])
    with pytest.raises(InputError, match='expected stepwise labels.*loss.type = "regression"'):
        read_steps([ratings])
    pairs = file(tmp_path, {"prompt": "p", "chosen": "a", "rejected": "b"})
    with pytest.raises(InputError, match='expected ratings by criterion; judgements between.*"bradley_terry"'):
        read_ratings([pairs])
    right = file(tmp_path, {"prompt": "p", "completion": "a", "label": True})
    with pytest.raises(InputError, match='loss.type = "outcome"'):
        read_steps([right])
    assert validate(file(tmp_path, TRL)).format == "stepwise labels"
