"""What doesn't fit the context is counted and said, by file and line, and past 1 % it stops the stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.lengths import cut, fitting_groups, within_context
from heedful.data.packing import Example
from heedful.data.places import Read, places_of
from heedful.data.sources import (
    read_completions,
    read_demonstrations,
    read_outcomes,
    read_prompts,
    read_rankings,
    read_ratings,
    read_steps,
)
from heedful.errors import InputError


def example(length: int, answer: int = 1) -> Example:
    return Example(tuple(range(length)), answer)


def alone(*examples: Example) -> list[list[Example]]:
    return [[each] for each in examples]


def fitted(groups: list[list[Example]], context: int, what: str, folder: Path) -> tuple[list[int], str]:
    """Groups that come from the rows of a file."""
    path = write(folder / "rows.jsonl", [{"prompt": str(i)} for i in range(len(groups))])
    return fitting_groups(groups, context, what, read_prompts(path), [path])


def write(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_everything_fits_and_nothing_is_said(tmp_path: Path) -> None:
    assert fitted(alone(example(8), example(3)), 8, "demonstrations", tmp_path) == ([0, 1], "")


def test_a_few_are_left_out_aloud(tmp_path: Path) -> None:
    groups = alone(*[example(5)] * 100, example(12, answer=9), example(11, answer=2), *[example(10)] * 100)
    kept, sentence = fitted(groups, 10, "demonstrations", tmp_path)
    assert len(kept) == 200
    assert f"2 of 202 demonstrations ({tmp_path}/rows.jsonl:101, {tmp_path}/rows.jsonl:102)" in sentence
    assert "10 tokens (prompt and completion together; the longest has 12): left out" in sentence


def test_a_prompt_that_leaves_no_room_is_refused_by_its_line(tmp_path: Path) -> None:
    """One in hundreds is enough; a question that holds the answers has no prompt of its own."""
    fit = [[example(5), example(6)]] * 300
    told = rf"{tmp_path}/rows.jsonl:301: the prompt has 10 tokens and the context of the model is 10: shorten or remove"
    with pytest.raises(InputError, match=told):
        fitted([*fit, [example(12, answer=10), example(11, answer=10)]], 10, "rankings", tmp_path)
    with pytest.raises(
        InputError, match=rf"longer context; so 2 more: {tmp_path}/rows.jsonl:2, {tmp_path}/rows.jsonl:3$"
    ):
        fitted(alone(*[example(12, answer=10)] * 3), 10, "demonstrations", tmp_path)
    assert len(fitted([*fit, [example(12, answer=12)]], 10, "rankings", tmp_path)[0]) == 300


def test_what_is_only_read_is_left_out_where_its_prompt_is_too_long(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": str(i)} for i in range(101)])
    groups = alone(*[example(5)] * 100, example(12, answer=10))
    kept, sentence = within_context(groups, 10, "calibration samples", read_prompts(path), [path])
    assert kept == list(range(100)) and sentence.endswith("left out")


def test_records_are_told_by_file_and_line(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {i % 150}?", "completion": f"It is {i}."} for i in range(300)]
    paths = [write(tmp_path / "a.jsonl", rows[:200]), write(tmp_path / "b.jsonl", rows[200:])]
    records = [record for path in paths for record in read_demonstrations(path)]
    left, long = records[1:], (170, 250)  # the same prompts stand earlier, with other answers
    groups = alone(*(example(9 if i in long else 5) for i in range(1, 300)))
    kept, sentence = fitting_groups(groups, 8, "demonstrations", left, paths)
    assert len(kept) == 297
    assert f"({paths[0]}:171, {paths[1]}:51)" in sentence


READERS: list[tuple[Callable[[str], Sequence[Read]], dict[str, Any]]] = [
    (read_prompts, {"prompt": "q"}),
    (read_demonstrations, {"prompt": "q", "completion": "a"}),
    (read_completions, {"prompt": "q", "completion": "a", "policy": "sft"}),
    (lambda path: read_rankings([path]), {"prompt": "q", "chosen": "a", "rejected": "b"}),
    (lambda path: read_ratings([path]), {"prompt": "q", "response": "a", "help": 3}),
    (lambda path: read_outcomes([path]), {"prompt": "q", "completion": "a", "label": True}),
    (lambda path: read_steps([path]), {"prompt": "q", "completions": ["a"], "labels": [True]}),
]


@pytest.mark.parametrize(("read", "row"), READERS, ids=lambda value: "" if callable(value) else "+".join(value))
def test_every_kind_of_record_is_found_in_its_file(
    tmp_path: Path, read: Callable[[str], Sequence[Read]], row: dict[str, Any]
) -> None:
    path = write(tmp_path / "rows.jsonl", [row | {"prompt": f"q {i % 3}"} for i in range(6)])
    assert places_of(read(path)[1:3], [path]) == [f"{path}:2", f"{path}:3"]
    assert places_of([read(path)[i] for i in (4, 1)], [path]) == [f"{path}:2", f"{path}:5"], "equal rows, in order"


def test_a_file_that_has_changed_since_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": "q"}])
    read = read_prompts(path)
    write(tmp_path / "rows.jsonl", [{"prompt": "other"}])
    assert places_of(read, [path]) == [path]


def test_one_in_a_hundred_is_the_limit(tmp_path: Path) -> None:
    fitted(alone(*[example(5)] * 99, example(9)), 8, "pages", tmp_path)
    with pytest.raises(InputError, match=r"2 of 100 pages .* at most 1% may be left out"):
        fitted(alone(*[example(5)] * 98, *[example(9)] * 2), 8, "pages", tmp_path)


def test_a_group_stands_or_falls_whole(tmp_path: Path) -> None:
    groups = [[example(3), example(4)]] * 150 + [[example(3), example(20)]]
    kept, sentence = fitted(groups, 10, "rankings", tmp_path)
    assert kept == list(range(150))
    assert f"1 of 151 rankings ({tmp_path}/rows.jsonl:151)" in sentence


@given(st.integers(2, 9), st.lists(st.integers(1, 40), max_size=5))
def test_cutting_keeps_every_token_but_lone_last_ones(context: int, sizes: list[int]) -> None:
    for size in sizes:
        pieces = list(cut([example(size)], context))
        joined = [i for piece in pieces for i in piece.ids]
        lone = size % context == 1
        assert joined == list(range(size - lone))
        assert all(2 <= len(piece.ids) <= context for piece in pieces)
        assert all(piece.targets == len(piece.ids) - 1 for piece in pieces)
