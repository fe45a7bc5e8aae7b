"""Tables: cells become what their columns hold, and each broken row is named with the line where it begins."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from heedful.data import csv_rows
from heedful.data.faults import Fault
from heedful.data.rows import read_rows
from heedful.data.sources import read_judgements, read_labels, read_rankings, read_ratings, read_steps
from heedful.data.validate import validate, write_sound
from heedful.errors import InputError
from heedful.records import Ranking

PAIRS = [
    {
        "prompt": "Why, and how?",
        "chosen": 'He said "so".\nThen, he left.',
        "rejected": "no",
        "margin": 1.5,
        "tie": False,
    },
    {"prompt": "Ça va ?", "chosen": "oui", "rejected": "non; pas du tout", "margin": 2.0, "tie": True},
]


def write(path: Path, rows: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """As the csv module, pandas and table programs write it."""
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, rows[0], delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [("a.csv", ",", "utf-8"), ("a.CSV", ",", "utf-8-sig"), ("a.csv", ";", "utf-8"), ("a.tsv", "\t", "utf-8")],
)
def test_a_table_of_comparisons_is_read_as_jsonl_is(tmp_path: Path, name: str, delimiter: str, encoding: str) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    table = write(tmp_path / name, PAIRS, delimiter, encoding)
    assert read_rankings([table]) == read_rankings([lines])
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    assert read_rankings([packed]) == read_rankings([lines])
    report = validate(table)
    assert (report.container, report.format, report.rows) == (name[-3:].upper(), "preferences with a prompt", 2)
    assert report.serves == "reward, dpo; its prompts serve sample and ppo" and not report.fault_count


@pytest.mark.parametrize("said", [("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("1", "0")])
def test_labels_are_true_or_false_however_a_program_writes_them(tmp_path: Path, said: tuple[str, str]) -> None:
    rows = [{"prompt": "q", "completion": text, "label": label} for text, label in zip("ab", said, strict=True)]
    assert [one.label for one in read_labels(write(tmp_path / "a.csv", rows))] == [True, False]


def test_a_label_that_is_neither_is_a_fault(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": "a", "label": label} for label in ("true", "yes", "0.5", "")]
    path = write(tmp_path / "a.csv", rows)
    assert [fault.removeprefix(f"{path}:") for fault in validate(path).faults] == [
        "3: field 'label': found the text 'yes', expected true or false; write one of them",
        "4: field 'label': found the text '0.5', expected true or false; write one of them",
        "5: field 'label': found nothing, expected a value (the file's rows are unpaired labels); "
        "add it or remove the row",
    ]


def test_lists_and_messages_are_written_as_json(tmp_path: Path) -> None:
    ask = json.dumps([{"role": "user", "content": "q"}])
    rows = [{"prompt": ask, "completions": '["a", "b", "c"]', "ranks": "[2, 0, 1]", "weight": "2", "rater": "7"}]
    [one] = read_judgements([write(tmp_path / "a.csv", rows)])
    assert isinstance(one, Ranking) and one.prompt.messages[0].content == "q"
    assert (one.completions, one.ranks, one.weight, one.rater) == (("a", "b", "c"), (2, 0, 1), 2.0, "7")
    [steps] = read_steps([write(tmp_path / "b.csv", [{"prompt": "q", "completions": '["x"]', "labels": "[true]"}])])
    assert steps.labels == (1.0,)


def test_criteria_of_helpsteer_are_numbers(tmp_path: Path) -> None:
    [one] = read_ratings(
        [write(tmp_path / "a.csv", [{"prompt": "q", "response": "4", "helpfulness": 3, "clear": "2.5"}])]
    )
    assert one.completion == "4" and one.ratings == {"helpfulness": 3.0, "clear": 2.5}


def test_an_answer_that_looks_like_a_list_or_a_number_is_text(tmp_path: Path) -> None:
    answers = ['[{"id": 1}]', "[{1: 2}]", "[1] see below", "42", "true", "null"]
    path = write(tmp_path / "a.csv", [{"prompt": "q", "chosen": text, "rejected": "0"} for text in answers])
    assert [one.completions for one in read_rankings([path])] == [(text, "0") for text in answers]


HEADER = b"prompt,chosen,rejected,ranks\n"
GOOD = b'"two\nlines",a,b,\n'


@pytest.mark.parametrize(
    ("broken", "line", "says"),
    [
        (b"q,a\n", 4, "found 2 cells, expected 4, one for each column"),
        (b"q, a, b, c, d\n", 4, "found 5 cells, expected 4"),
        (b"q,a,a,\n", 4, "field 'chosen': found the same text as 'rejected'"),
        (b"q,,b,\n", 4, "field 'chosen': found nothing, expected a value"),
        (b"q,a,b,2-1\n", 4, "field 'ranks': found the text '2-1', expected a list or an object as JSON writes it"),
        (b"q,a,\xe9,\n", 4, "found the byte 0xe9 at byte 4 of the line, expected UTF-8 text"),
        (b"q,a\x00,b,\n", 4, "field 'chosen': found a NUL at character 1"),
        (b'\n\n"q,a,b,\nq,a,b,\n', 6, "found a quote that is never closed"),
        (b'q,"a"x,b,\n', 4, "found text that is not CSV"),
        (b"q,\"[{'role': 'user', 'content': 'x'}]\",b,\n", 4, "field 'chosen': found messages as Python prints them"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, bytes) else "",
)
def test_a_broken_row_is_named_by_the_line_where_it_begins(tmp_path: Path, broken: bytes, line: int, says: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + GOOD + broken)
    with pytest.raises(InputError) as caught:
        read_rankings([path])
    assert str(caught.value).startswith(f"{path}:{line}: {says}"), caught.value


def test_reading_goes_on_behind_a_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b"q,a\n\n" + GOOD + b"q,,b,\n" + GOOD)
    report = validate(path)
    assert (report.rows, report.sound) == (4, 2)
    assert [fault.split(" ")[0] for fault in report.faults] == [f"{path}:2:", f"{path}:6:"]
    assert write_sound(path, tmp_path / "sound.jsonl") == 2
    assert len(read_rankings([tmp_path / "sound.jsonl"])) == 2


def test_columns_without_a_name_are_kept_where_they_hold_something(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",prompt,chosen,rejected,\n0,q,a,b,\n1,q,c,d,\n")  # as pandas writes its index, and Excel a border
    assert [one.prompt.meta for one in read_rankings([path])] == [{"column 1": "0"}, {"column 1": "1"}]


def test_a_cell_or_a_line_beyond_the_cap_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", [{"prompt": "q", "chosen": "x" * 200_000, "rejected": "y"}])
    assert len(read_rankings([path])[0].completions[0]) == 200_000, "longer than the csv module takes by itself"
    monkeypatch.setattr(csv_rows, "LINE_CAP", 1000)
    [fault] = list(read_rows(path))
    assert isinstance(fault, Fault) and fault.where == f"{path}:2" and "a line of" in fault.found


def test_a_cell_may_hold_one_message(tmp_path: Path) -> None:
    ask, yes, no = [{"from": "human", "value": "q"}], {"from": "gpt", "value": "yes"}, {"from": "gpt", "value": "no"}
    row = {"conversations": json.dumps(ask), "chosen": json.dumps(yes), "rejected": json.dumps(no)}
    [one] = read_rankings([write(tmp_path / "a.csv", [row])])
    assert one.completions == ("yes", "no")
    [code] = read_rankings([write(tmp_path / "b.csv", [{"prompt": "q", "chosen": '{"a": 1}', "rejected": "{ }"}])])
    assert code.completions == ('{"a": 1}', "{ }"), "no message: an answer that is an object"
    printed = write(tmp_path / "c.csv", [row | {"chosen": str(yes)}])
    with pytest.raises(InputError, match="c.csv:2: field 'chosen': found messages as Python prints them"):
        read_rankings([printed])
