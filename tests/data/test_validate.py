"""What `heedful validate` says of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.data.sources import read_rankings
from heedful.data.validate import ValidationReport, render, validate, write_sound
from heedful.errors import InputError


def check(tmp_path: Path, *rows: Any) -> ValidationReport:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return validate(path)


def pair(prompt: str, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | more


def test_repeats_conflicts_and_length_are_counted(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        pair("p", "long one", "short"),
        pair("p", "short", "long one"),  # the first pair, judged the other way
        pair("p", "long one", "short"),  # the first row again
        pair("q", "aa", "bb"),  # no longer answer
        pair("q", "aaa", "b", tie=True),  # not decided
        pair("r", "a", "bbbb"),
    )
    assert (report.rows, report.sound, report.fault_count, report.prompts) == (6, 6, 0, 3)
    assert report.format == "preferences with a prompt"
    assert report.duplicates == pytest.approx(1 / 6)
    assert report.conflicts == pytest.approx(1 / 3), "of the pairs {p}, {q}, {r} the first is judged both ways"
    assert report.pairs == 5
    assert report.longer_chosen == pytest.approx(2 / 4)
    assert report.answer_longest == 8


def test_two_raters_of_one_pair_are_no_repeat(tmp_path: Path) -> None:
    report = check(tmp_path, pair("p", "a", "b", rater="x"), pair("p", "a", "b", rater="y"))
    assert report.duplicates == 0.0


def test_faults_are_listed_and_sound_rows_can_be_written(tmp_path: Path) -> None:
    good = pair("p", "a", "b", source="web")
    report = check(tmp_path, good, pair("p", "a", "a"), good | {"chosen": ""})
    assert (report.rows, report.sound, report.fault_count) == (3, 1, 2)
    text = render(report)
    assert "3 rows, 1 sound" in text and f"{report.path}:2: field 'chosen': found the same text" in text
    assert write_sound(report.path, tmp_path / "sound.jsonl") == 1
    assert json.loads((tmp_path / "sound.jsonl").read_text()) == good, "unchanged, other columns too"
    assert len(read_rankings([tmp_path / "sound.jsonl"])) == 1
    with pytest.raises(InputError, match="is there already"):
        write_sound(report.path, report.path)


def test_conversations_without_an_answer_are_prompts(tmp_path: Path) -> None:
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    assert check(tmp_path, {"messages": [user, assistant]}).serves.startswith("sft, pretrain")
    report = check(tmp_path, {"messages": [user]}, {"messages": [user, assistant]})
    assert report.fault_count == 0
    assert "not sft, for 1 conversations end without an answer" in report.serves


@pytest.mark.parametrize(
    ("row", "format_", "serves"),
    [
        ({"prompt": "p"}, "prompts", "sample, ppo, evaluate"),
        (
            {"prompt": "p", "response_a": "x", "response_b": "y"},
            "answers to be compared",
            "studio import, as answers to be judged",
        ),
        ({"text": "page"}, "texts", "pretrain"),
        ({"prompt": "p", "completion": "c", "label": True}, "unpaired labels", "dpo with the losses kto and bco"),
        ({"prompt": "p", "completions": ["s"], "labels": [True]}, "stepwise labels", "reward with"),
        ({"prompt": "p", "completion": "", "policy": "sft"}, "completions", "label, sft"),
        ({"prompt": "p", "completions": ["a", "b"], "ranks": [0, 1]}, "rankings", "reward, dpo"),
    ],
)
def test_each_format_says_what_it_serves(tmp_path: Path, row: dict[str, Any], format_: str, serves: str) -> None:
    report = check(tmp_path, row)
    assert report.format == format_
    assert report.serves.startswith(serves)
    assert report.faults == ()


def test_text_files_say_what_separates_their_documents(tmp_path: Path) -> None:
    path = tmp_path / "pages.txt"
    path.write_text("one\n<|endoftext|>\ntwo\n")
    report = validate(path)
    assert (report.rows, report.container) == (2, "plain text, documents separated by <|endoftext|> lines")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "p", "chosen": "a"}, "'rejected': found no such field"),
        ({"prompt": "p", "chosen": "a", "reject": "b"}, "rename 'reject' to it"),
        ({"conversations": [{"from": "human", "value": "p"}], "chosen": "a"}, "'rejected': found no such field"),
    ],
)
def test_a_file_of_half_pairs_holds_no_prompts(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    report = check(tmp_path, row, row)
    assert (report.sound, report.fault_count) == (0, 2)
    assert says in report.faults[0]


def test_nothing_and_no_file(tmp_path: Path) -> None:
    assert check(tmp_path).faults[0].endswith("holds no rows; check that the right file was written")
    with pytest.raises(InputError, match="there is no such file"):
        validate(tmp_path / "none.jsonl")


def test_a_long_list_of_faults_is_cut_and_counted(tmp_path: Path) -> None:
    report = check(tmp_path, pair("p", "a", "b"), *[pair("p", "a", "a")] * 150)
    assert report.fault_count == 150 and len(report.faults) == 100
    assert "150, of which the first 100:" in render(report)
