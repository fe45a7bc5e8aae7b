"""Rows that grade an answer, by criteria or step by step, as records. RowFault where the row is unsound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from heedful.data.convert import prompt_of, rater_kind
from heedful.data.dialogues import answer_to, prompt_messages, words
from heedful.data.faults import RowFault, describe
from heedful.data.formats import Format, rating_columns
from heedful.data.parts import conversation
from heedful.records import Rating, Row, StepLabels


def to_rating(row: Row) -> Rating:
    """`ratings` as an object, or HelpSteer's `response` with a column of numbers for each criterion."""
    messages = prompt_messages(row["prompt"], "prompt")
    own = row.get("ratings") is not None
    field = "completion" if row.get("completion") is not None else "response"
    ratings = _numbers(row["ratings"]) if own else {name: float(value) for name, value in rating_columns(row).items()}
    if not ratings or not all(map(math.isfinite, ratings.values())):
        expected = "a finite number for at least one criterion"
        raise RowFault(
            "ratings" if own else "", "no ratings" if not ratings else f"{ratings}"[:60], expected, "add one"
        )
    prompt = prompt_of({name: row[name] for name in row if own or name not in ratings}, Format.RATING, messages)
    return Rating(
        prompt=prompt,
        completion=answer_to(messages, row[field], field, may_be_empty=True),
        ratings=ratings,
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
    )


def _numbers(value: Any) -> dict[str, float]:
    """An object of numbers; what is null was not rated."""
    if not isinstance(value, Mapping):
        raise RowFault("ratings", describe(value), "an object with a number for each criterion", "write {name: number}")
    given = {str(name): number for name, number in value.items() if number is not None}
    for name, number in given.items():
        if type(number) not in (int, float):
            raise RowFault(f"ratings.{name}", describe(number), "a number", "write one or leave it out")
    return {name: float(number) for name, number in given.items()}


def to_outcome(row: Row, kind: Format) -> StepLabels:
    """An answer that is right or wrong as a whole (TRL's `label`): an answer in one step."""
    field = "label" if row.get("label") is not None else "kto_tag"
    if not isinstance(row[field], bool):
        raise RowFault(field, describe(row[field]), "true or false", "write one of them")
    messages, answer = conversation(row, kind)
    return StepLabels(
        prompt=prompt_of(row, kind, messages),
        steps=(answer,),
        labels=(float(row[field]),),
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
    )


def to_steps(row: Row) -> StepLabels:
    """TRL's stepwise format: `completions` holds the steps, `labels` whether each is right, or how likely."""
    messages = prompt_messages(row["prompt"], "prompt")
    given = row["completions"]
    if not isinstance(given, list) or not given:
        raise RowFault("completions", describe(given), "a list of steps", "write the answer's steps as a list of texts")
    steps = tuple(words(step, f"completions[{index}]") for index, step in enumerate(given))
    labels = row["labels"]
    if not isinstance(labels, list) or len(labels) != len(steps):
        raise RowFault("labels", describe(labels), f"one for each of the {len(steps)} steps", "label every step")
    for index, label in enumerate(labels):
        if not isinstance(label, bool | int | float) or not 0 <= label <= 1:
            expected = "true, false, or the chance from 0 to 1 that the step is right"
            raise RowFault(f"labels[{index}]", describe(label), expected, "map the label to one of these")
    return StepLabels(
        prompt=prompt_of(row, Format.STEPWISE, messages),
        steps=steps,
        labels=tuple(map(float, labels)),
        rater=str(row.get("rater") or ""),
        rater_kind=rater_kind(row),
    )
