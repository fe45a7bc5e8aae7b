"""The same rows from every container, each with the place where it stands."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.data.faults import Fault
from heedful.data.json_rows import Located
from heedful.data.rows import Container, container_of, pages_of, read_rows
from heedful.data.sources import read_prompts, read_rankings
from heedful.errors import InputError

ROWS = [{"prompt": "p", "n": 1}, {"prompt": "q", "n": 2}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def found(path: Path) -> list[tuple[str, dict[str, object]]]:
    items = list(read_rows(path))
    assert not [item for item in items if isinstance(item, Fault)]
    return [(item.where.removeprefix(str(path)), item.row) for item in items if isinstance(item, Located)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.JSONL", "two.dots.jsonl"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(LINES)
    assert found(path) == [(":1", ROWS[0]), (":2", ROWS[1])]


def test_json_array_rows_know_the_line_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\n [\n  {"prompt": "p",\n   "n": 1} ,\n\n  {"prompt": "q", "n": 2}\n]\n')
    assert container_of(path) is Container.ARRAY
    assert found(path) == [(":3", ROWS[0]), (":6", ROWS[1])]


@pytest.mark.parametrize(("name", "text"), [("a.jsonl.gz", LINES), ("a.json.gz", json.dumps(ROWS))])
def test_gzip(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()))
    assert [row for _, row in found(path)] == ROWS


def test_parquet_where_a_row_lacks_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b", "margin": 2.0},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert [where for where, _ in found(path)] == [": row 1", ": row 2"]
    assert [ranking.margins for ranking in read_rankings([path])] == [(2.0,), ()]


def test_a_bad_parquet_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["p", "q\0"]}), path)
    with pytest.raises(InputError, match=r"a.parquet: row 2: field 'prompt': found a NUL at character 1"):
        read_prompts(path)


def test_datasets_folder_and_a_folder_of_splits(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    data = Dataset.from_list([{"prompt": [{"role": "user", "content": "p"}]}])
    data.save_to_disk(tmp_path / "one")
    assert read_prompts(tmp_path / "one")[0].messages[0].content == "p"
    DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "two")
    with pytest.raises(InputError, match=r"holds several splits; name one of .*two/test, .*two/train"):
        read_prompts(tmp_path / "two")
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(InputError, match="a broken folder"):
        read_prompts(tmp_path / "one")


def test_pages_are_separated_by_marks_or_else_by_blank_lines() -> None:
    assert pages_of("a\nb\n\nc\n") == ([(1, "a\nb"), (4, "c")], "blank lines")
    assert pages_of("a\n\nb\r\n<|endoftext|>\n\nc\n") == ([(1, "a\n\nb"), (6, "c")], "<|endoftext|> lines")
    assert pages_of("\n\n") == ([], "blank lines")
    assert pages_of("a\u2028b\x0cc") == ([(1, "a\u2028b\x0cc")], "blank lines")
