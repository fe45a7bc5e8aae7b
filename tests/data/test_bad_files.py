"""Each way in which a file can be broken has its own sentence: file, line, field, what was found, the mend."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from heedful.data import json_rows
from heedful.data.sources import (
    read_completions,
    read_demonstrations,
    read_documents,
    read_judgements,
    read_prompts,
    read_rankings,
)
from heedful.errors import InputError

GOOD = '{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}\n'
PAIRS = [  # (bytes of a .jsonl file whose second line is broken, what the sentence says)
    (b"\n", ("an empty line", "remove the line")),
    (b"   \r\n", ("an empty line",)),
    (b'{"prompt": "Hi", "chosen": "caf\xe9", "rejected": "Go"}\n', ("byte 0xe9 at byte 31 of the line", "UTF-8")),
    (b'{"prompt": "Hi", "chosen": "a\\u0000b", "rejected": "Go"}\n', ("'chosen'", "NUL at character 1")),
    (b'{"prompt": "Hi", "chosen": "a\x00b", "rejected": "Go"}\n', ("NUL",)),
    (b'{"prompt": "Hi", "chosen": "a\\ud83d", "rejected": "Go"}\n', ("'chosen'", "half of a surrogate pair")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go", "margin": NaN}\n', ("NaN", "null or a number")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go", "margin": -Infinity}\n', ("-Infinity",)),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go", "margin": 1e999}\n', ("'margin'", "a finite number")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go", "margin": "2"}\n', ("'margin'", "the text '2'")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go", "n": ' + b"9" * 5000 + b"}\n", ("a number too long",)),
    (b'{"prompt": "Hi", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", ("nested too deeply",)),
    (b'{"prompt": "Hi", "chosen": "a", "rejec', ("a last line that breaks off",)),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "Go"},\n', ("a comma after the object",)),
    (b"{'prompt': 'Hi'}\n", ("not JSON", "at character 2")),
    (b"[1, 2]\n", ("a list of 2", "a JSON object")),
    (b"3\n", ("the number 3", "a JSON object")),
    (b'{"prompt": "Hi", "chosen": "a"}\n', ("'rejected'", "no such field", "preferences with a prompt")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": null}\n', ("'rejected'", "found nothing")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": 5}\n', ("'rejected'", "the number 5")),
    (b'{"prompt": "Hi", "chosen": "Go ", "rejected": " Go"}\n', ("'chosen'", "the same text as 'rejected'")),
    (b'{"prompt": " ", "chosen": "a", "rejected": "Go"}\n', ("'prompt'", "an empty text")),
    (b'{"prompt": "Hi", "chosen": "", "rejected": "Go"}\n', ("'chosen'", "an empty text")),
    (b'{"prompt": [], "chosen": "a", "rejected": "Go"}\n', ("'prompt'", "an empty list", "a list of messages")),
    (
        b'{"prompt": [{"role": "assistant", "content": "x"}], "chosen": "a", "rejected": "b"}\n',
        ("'prompt[0]'", "the role assistant where user speaks next"),
    ),
    (
        b'{"prompt": [{"role":"user","content":"x"},{"role":"system","content":"s"}], "chosen":"a","rejected":"b"}\n',
        ("'prompt[1]'", "the role system where assistant speaks next"),
    ),
    (
        b'{"prompt": [{"role":"user","content":"x"},{"role":"assistant","content":"s"}],"chosen":"a","rejected":"b"}\n',
        ("'prompt'", "ends with the assistant's turn"),
    ),
    (b'{"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}\n', ("'prompt[0]'", "add 'content'")),
    (
        b'{"prompt": [{"role": 3, "content": "x"}], "chosen": "a", "rejected": "b"}\n',
        ("prompt[0].role", "the number 3"),
    ),
    (
        b'{"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"}\n',
        ("prompt[0].role", "the text 'tool'", "one of human, user"),
    ),
    (
        b'{"prompt": "x", "chosen": [{"role":"assistant","content":"a","tool_calls":[{}]}], "rejected": "b"}\n',
        ("tool_calls", "a tool call"),
    ),
    (
        b'{"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "a", "rejected": "b"}\n',
        ("content[0]", "a part of type text"),
    ),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "b", "tie": "yes"}\n', ("'tie'", "true or false")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "b", "rater_kind": "robot"}\n', ("'rater_kind'", "human, ai")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "b", "id": [1]}\n', ("'id'", "a list of 1")),
    (b'{"prompt": "Hi", "chosen": "a", "rejected": "b", "meta": 1}\n', ("'meta'", "the number 1")),
]


def raised(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_rankings([str(path)])
    return str(caught.value)


@pytest.mark.parametrize(
    ("broken", "says"), PAIRS, ids=lambda value: str(value)[:40] if isinstance(value, bytes) else ""
)
def test_a_broken_line_is_named_with_its_mend(tmp_path: Path, broken: bytes, says: tuple[str, ...]) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(GOOD.encode() + broken)
    sentence = raised(path)
    assert sentence.startswith(f"{path}:2: ")
    assert "heedful validate" in sentence
    for part in says:
        assert part in sentence


def test_several_faults_give_the_first_five_and_the_count(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(GOOD + '{"prompt": "Hi", "chosen": "", "rejected": "b"}\n' * 7)
    sentence = raised(path)
    assert "7 faults in 8 rows; the first 5:" in sentence
    assert f"{path}:6: field 'chosen'" in sentence and f"{path}:7:" not in sentence


def test_one_incomplete_first_row_does_not_speak_for_its_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Hi", "chosen": "a"}\n' + GOOD * 3)
    assert f"{path}:1: field 'rejected': found no such field" in raised(path)


def test_bom_crlf_line_separators_and_escaped_pairs_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = '{"prompt": "a\u2028b\\ud83d\\ude00", "chosen": "a", "rejected": "b"}'
    path.write_bytes(b"\xef\xbb\xbf" + row.encode() + b"\r\n" + row.replace("Hi", "Ho").encode())
    first, second = read_rankings([path])
    assert first.prompt.messages[0].content == "a\u2028b\U0001f600"
    assert second.completions == ("a", "b")


def test_a_line_beyond_the_cap_is_named_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LINE_CAP", 1000)
    path = tmp_path / "pairs.jsonl"
    path.write_text(GOOD + json.dumps({"prompt": "x" * 5000}) + "\n" + GOOD + '{"prompt": ""}\n')
    sentence = raised(path)
    assert f"{path}:2: found a line of" in sentence
    assert f"{path}:4:" in sentence, "reading goes on behind it, at the right line"
    assert "2 faults in 4 rows" in sentence


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'[{"prompt": "Hi"}]', ":1: found a JSON array, expected one JSON object a line; give its name"),
        ("a.jsonl", b'[\n{"prompt": "Hi"}\n]', ":1: found a JSON array"),
        (
            "a.jsonl",
            gzip.compress(GOOD.encode(), mtime=0),
            ":1: found a gzip file, expected JSONL; give its name the ending .gz",
        ),
        ("a.jsonl", b"PAR1" + b"\0" * 20, ":1: found a Parquet file"),
        ("a.jsonl", "Hi".encode("utf-16"), "it begins like UTF-16"),
        ("a.jsonl.gz", GOOD.encode(), "found no gzip data"),
        ("a.jsonl.gz", gzip.compress(GOOD.encode() * 1000, mtime=0)[:60], "a gzip stream that breaks off"),
        ("a.json", b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"},\n {"prompt": "Hi", "ch', ":2: found an array"),
        ("a.json", b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"}', "an array that breaks off"),
        ("a.json", b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"},\n]', ":2: found a comma before the closing"),
        ("a.json", b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"}] x', "text behind the array"),
        (
            "a.json",
            b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"}\n{"p": 1}]',
            "Expecting ',' delimiter at line 2",
        ),
        ("a.json", b'[{"prompt": "Hi", "chosen": "a", "rejected": "b"},\n7]', ":2: found the number 7"),
        ("a.json", b"[" + b"[" * 10_000, "nested too deeply"),
        ("a.json", b'[{"prompt": NaN}]', "the value NaN"),
        ("a.json", b'[{"prompt": "a\\u0000"}]', "field 'prompt': found a NUL"),
        ("a.json", b"[]", "holds no rows"),
        ("a.jsonl", b"", "holds no rows, expected rankings or preferences"),
        ("a.parquet", b"not parquet at all", "a broken file"),
        ("a.xlsx", b"PK", "heedful reads .jsonl, .json, .csv, .tsv, .parquet and .txt"),
        ("a.csv", b"prompt,chosen,rejected\n", "holds no rows, expected rankings or preferences"),
        ("a.csv", b"PK\x03\x04\xff", ":1: found a workbook or another archive"),
        ("a.csv", b"foo,bar\n1,2\n1,2\n", ":2: found the columns bar, foo, expected one of: text;"),
        ("a.csv", b"prompt,chosen,chosen\na,b,c\n", ":1: field 'chosen': found two columns of this name"),
        ("a.csv", 'prompt,chosen,rejected\n"a'.encode("utf-16"), "it begins like UTF-16"),
        ("a.jsonl", b'{"foo": "Hi"}\n' * 9, ":1: found the columns foo, expected one of: text;"),
    ],
)
def test_a_file_of_the_wrong_kind_is_diagnosed(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    sentence = raised(path)
    assert says in sentence
    assert "faults in" not in sentence, "one diagnosis, not one for each row"


@pytest.mark.parametrize("broken_first", [True, False])
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('{"prompt": "Ho", "chosen": "a"}\n', "field 'rejected': found no such field"),
        ('{"prompt": "Ho", "rejected": "a"}\n', "field 'chosen': found no such field"),
        ('{"prompt": "Ho", "chosen": "a", "reject": "b"}\n', "rename 'reject' to it"),
        ('{"prompt": "Ho", "chosen": null, "rejected": "b"}\n', "field 'chosen': found nothing"),
        ('{"prompt": "Ho", "chosen": 5, "rejected": "b"}\n', "field 'chosen': found the number 5"),
        ('{"prompt": "Ho", "chosen": 5}\n', "field 'rejected': found no such field"),
        ('{"prompt": "Ho"}\n', "field 'chosen': found no such field"),
    ],
)
def test_a_broken_pair_is_no_prompt_wherever_it_stands(
    tmp_path: Path, broken: str, says: str, broken_first: bool
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(broken + GOOD if broken_first else GOOD + broken)
    sentence = raised(path)
    assert sentence.startswith(f"{path}:{1 if broken_first else 2}: ")
    assert says in sentence
    with pytest.raises(InputError, match="preferences with a prompt|found the number 5"):
        read_prompts(path)


def test_a_missing_file_and_a_plain_folder(tmp_path: Path) -> None:
    assert "there is no such file" in raised(tmp_path / "none.jsonl")
    assert "none that datasets' save_to_disk wrote" in raised(tmp_path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"completions": ["a"], "ranks": [0]}, "'completions': found a list of 1"),
        ({"completions": ["a", "b"], "ranks": [0]}, "'ranks': found [0], expected 2 whole numbers"),
        ({"completions": ["a", "b"], "ranks": [0, 1.5]}, "'ranks[1]': found the number 1.5"),
        ({"completions": ["a", "b"], "ranks": [True, False]}, "'ranks[0]': found the value true"),
        ({"completions": ["a", "b"], "ranks": [-1, 0]}, "'ranks': found [-1, 0]"),
        (
            {"completions": ["a", "b", "a"], "ranks": [0, 1, 2]},
            "'completions[2]': found the same text as completions[0]",
        ),
        (
            {"completions": ["a", "b", "c"], "ranks": [0, 1, 2], "margins": [1.0]},
            "expected one for each of the 3 pairs",
        ),
        ({"completions": ["a", 4], "ranks": [0, 1]}, "'completions[1]': found the number 4"),
    ],
)
def test_an_unsound_ranking_is_named(tmp_path: Path, row: dict[str, object], says: str) -> None:
    path = tmp_path / "rankings.jsonl"
    path.write_text(json.dumps({"prompt": "Hi"} | row) + "\n")
    assert says in raised(path)


def test_files_of_another_kind_are_refused_whole_and_told_what_they_serve(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c", "label": True}) + "\n")
    assert "holds unpaired labels" in raised(path) and "no rival to be ranked against" in raised(path)
    with pytest.raises(InputError, match="holds unpaired labels, expected demonstrations"):
        read_demonstrations(path)
    path.write_text(json.dumps({"prompt": "p", "completions": ["s"], "labels": [True]}) + "\n")
    assert "holds stepwise labels" in raised(path) and 'loss.type = "process"' in raised(path)
    path.write_text(GOOD)
    with pytest.raises(InputError, match="judged answers serve reward, dpo"):
        read_demonstrations(path)
    with pytest.raises(InputError, match="holds preferences with a prompt, expected documents"):
        read_documents(path)
    path.write_text('{"text": "page"}\n')
    with pytest.raises(InputError, match="texts without a prompt"):
        read_demonstrations(path)
    path.write_text('{"prompt": "p"}\n')
    with pytest.raises(InputError, match="sample completions first"):
        read_completions(path)


def test_answers_to_be_compared_are_told_how_to_become_completions(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "p", "response_a": "x", "response_b": "y"}\n')
    with pytest.raises(InputError, match="studio import.*a row of its own, with prompt and completion"):
        read_completions(path)
    path.write_text('{"prompt": "p", "completion": "x"}\n{"prompt": "p", "completion": "y"}\n')
    assert [one.text for one in read_completions(path)] == ["x", "y"]


def test_logprobs_that_do_not_match_their_tokens(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    path.write_text('{"prompt": "p", "completion": "c", "policy": "sft", "token_ids": [1, 2], "logprobs": [-0.5]}\n')
    with pytest.raises(InputError, match="'logprobs': found a list of 1, expected one for each of the 2 token_ids"):
        read_completions(path)


def test_text_files_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "pages.txt"
    path.write_bytes(b"one\n\ntw\x00o\n")
    with pytest.raises(InputError, match=r"pages.txt:3: field 'text': found a NUL at character 2"):
        read_documents(path)
    path.write_bytes(b"one\ntwo and\xff")
    with pytest.raises(InputError, match="byte 0xff at byte 7 of line 2"):
        read_prompts(path)


def test_answers_that_nobody_judged_are_asked_for_a_label_where_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c"}) + "\n")
    with pytest.raises(InputError, match="give each row a `label`"):
        read_judgements([path])
    with pytest.raises(InputError, match="one answer alone can't be ranked"):
        read_rankings([path])
