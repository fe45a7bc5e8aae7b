"""A first look at a file: rows in every container, and lengths of what its first sound rows say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from heedful.data.look import BYTES_A_TOKEN, Look, look

UNKNOWN = Look(rows=7, prompt=16, answer=24, answers=4)
PAIR = {"prompt": "p" * 40, "chosen": "a" * 20, "rejected": "b" * 60}


def of(path: Path) -> Look:
    return look(path, UNKNOWN)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.parquet", "folder"])
def test_rows_are_counted_and_measured_whatever_holds_them(name: str, tmp_path: Path) -> None:
    path, rows = tmp_path / name, [PAIR] * 300
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    match path.suffixes:
        case [".jsonl"]:
            path.write_text(lines)
        case [".jsonl", ".gz"]:
            path.write_bytes(gzip.compress(lines.encode()))
        case [".json"]:
            path.write_text(json.dumps(rows))
        case [".csv"]:
            path.write_text("\n".join([",".join(PAIR), *(",".join(row.values()) for row in rows)]))
        case [".parquet"]:
            pq.write_table(pa.Table.from_pylist(rows), path)
        case _:
            Dataset.from_list(rows).save_to_disk(str(path))
    found = of(path)
    assert (found.rows, found.answers) == (300, 2)
    assert (found.prompt, found.answer) == (40 / BYTES_A_TOKEN, 40 / BYTES_A_TOKEN)
    assert found.tokens == 2 * 80 / BYTES_A_TOKEN


def test_documents_have_no_prompt_and_prompts_tell_no_answers(tmp_path: Path) -> None:
    (pages := tmp_path / "pages.txt").write_text(("x" * 100 + "\n\n") * 3)
    assert of(pages) == Look(3, 0, 100 / BYTES_A_TOKEN)
    (asked := tmp_path / "asked.jsonl").write_text('{"prompt": "Why?"}\n' * 2)
    assert of(asked) == Look(2, 4 / BYTES_A_TOKEN, UNKNOWN.answer, UNKNOWN.answers)
    asked.write_text('{"prompt": "Why?", "meta": {"family": "fact"}}\n')
    assert of(asked).families


def test_a_file_without_a_sound_row_is_counted_only(tmp_path: Path) -> None:
    (path := tmp_path / "broken.jsonl").write_text("{\n" * 5)
    assert of(path) == Look(5, UNKNOWN.prompt, UNKNOWN.answer, UNKNOWN.answers)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert of(tmp_path / "broken.parquet").rows == 0
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "Why?"}\n' * 9)[:-9])
    assert of(tmp_path / "cut.jsonl.gz").rows <= 9
