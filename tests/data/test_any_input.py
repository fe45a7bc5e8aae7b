"""Whatever a file holds, readers give records or one InputError, never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.formats import OPTIONAL, SIGNS
from heedful.data.sources import read_completions, read_demonstrations, read_documents, read_prompts, read_rankings
from heedful.data.validate import render, validate, write_sound
from heedful.errors import InputError

READERS = (read_prompts, read_demonstrations, read_completions, read_documents, lambda path: read_rankings([path]))
WORDS = st.sampled_from(["", " ", "a", "b", "\n\nHuman: a\n\nAssistant: b", "\n\nAssistant: b", "user", "assistant"])
MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": WORDS, "content": WORDS, "from": st.sampled_from(["human", "gpt"]), "value": WORDS}
)
SCALAR = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
VALUE = SCALAR | st.lists(MESSAGE | SCALAR, max_size=3) | MESSAGE | st.lists(st.lists(MESSAGE, max_size=2), max_size=2)


@st.composite
def row(draw: st.DrawFn) -> dict[str, Any]:
    """A row with a format's columns, and anything in them."""
    kind, sign = draw(st.sampled_from(SIGNS))
    more = draw(st.sets(st.sampled_from(sorted(OPTIONAL.get(kind, frozenset()) | {"id", "meta"}))))
    return {name: draw(VALUE) for name in sorted(sign | more)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "a.jsonl"


def read_all(path: Path) -> None:
    for reader in READERS:
        try:
            assert reader(path), "no records and no error"
        except InputError as error:
            assert str(path) in str(error)
    report = validate(path)
    assert render(report)
    (out := path.with_name("sound.jsonl")).unlink(missing_ok=True)
    assert report.sound == write_sound(path, out)
    assert report.sound + report.fault_count == max(1, report.rows), "an empty file is a fault without a row"


@settings(max_examples=150)
@given(st.lists(row(), min_size=1, max_size=3))
def test_any_values_in_any_format(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    read_all(path)


@settings(max_examples=80)
@given(st.binary(max_size=60), st.sampled_from([".jsonl", ".json", ".jsonl.gz", ".json.gz", ".txt", ".parquet"]))
def test_any_bytes(path: Path, content: bytes, ending: str) -> None:
    here = path.with_name(f"b{ending}")
    here.write_bytes(content)
    read_all(here)


@settings(max_examples=60)
@given(st.text(st.sampled_from('[]{},: "a1\n\\u'), max_size=30))
def test_any_array(path: Path, text: str) -> None:
    here = path.with_name("c.json")
    here.write_text(f"[{text}")
    read_all(here)
