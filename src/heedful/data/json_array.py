"""Rows of a file that holds one JSON array, each with the line where it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NoReturn

from heedful.data.faults import Fault, RowFault
from heedful.data.json_rows import BOM, DECODER, Located, as_row, check_texts, decode_utf8
from heedful.records import Row

ARRAY_CAP = 2**30  # bytes: an array is read whole
SPACE = " \t\r\n"


def read_array(raw: bytes, source: str) -> Iterator[Located | Fault]:
    """Rows of a JSON array. Past text that is not JSON nothing can be read: such a fault is the last one."""
    try:
        text = _open(raw)
    except RowFault as fault:
        yield fault.at(f"{source}:1")
        return
    position, counted, line, first = text.index("[") + 1, 0, 1, True
    while True:
        position = _skip(text, position)
        line, counted = line + text.count("\n", counted, position), position
        where = f"{source}:{line}"
        try:
            if _closed(text, position, first):
                return
            start, position = position, _end_of_element(text, position)
        except RowFault as fault:
            yield fault.at(where)
            return
        try:
            yield Located(where, _row(text[start:position]))
        except RowFault as fault:
            yield fault.at(where)
        first = False
        position = _skip(text, position)
        position += text[position] == ","


def _open(raw: bytes) -> str:
    if len(raw) > ARRAY_CAP:
        found, expected = f"a file of {len(raw) / 2**30:.1f} GiB", "at most 1 GiB, for a JSON array is read whole"
        raise RowFault("", found, expected, "write it as JSONL")
    return decode_utf8(raw.removeprefix(BOM), whole=True)


def _skip(text: str, position: int) -> int:
    """The next position that is no white space."""
    while position < len(text) and text[position] in SPACE:
        position += 1
    return position


def _closed(text: str, position: int, first: bool) -> bool:
    """Whether the array ends here; refuses `[1,]` and text behind the end."""
    if text[position : position + 1] != "]":
        return False
    if not first and text[:position].rstrip().endswith(","):
        raise RowFault("", "a comma before the closing bracket", "a JSON array", "take the comma away")
    if rest := text[position + 1 :].strip():
        raise RowFault("", f"text behind the array ({rest[:20]!r})", "one JSON array", "remove it")
    return True


def _end_of_element(text: str, position: int) -> int:
    """Where the element that begins here ends; what follows it must be a comma or the closing bracket."""
    try:
        _, end = DECODER.raw_decode(text, position)
        after = _skip(text, end)
        if text[after : after + 1] not in (",", "]"):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, after)
        return end
    except RecursionError:
        raise RowFault("", "JSON nested too deeply", "rows a few levels deep", "remove the row") from None
    except json.JSONDecodeError as error:
        _explain(text, error)
    except ValueError:  # integers of thousands of digits
        raise RowFault("", "a number too long to read", "numbers of ordinary size", "mend the row") from None


def _explain(text: str, error: json.JSONDecodeError) -> NoReturn:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        raise RowFault("", "an array that breaks off", "a whole JSON array", "restore the file") from None
    found = f"text that is not JSON ({error.msg} at line {error.lineno}, character {error.colno})"
    raise RowFault("", found, "a JSON array of objects", "mend the array there") from None


def _row(text: str) -> Row:
    value = DECODER.decode(text)
    check_texts(value)
    return as_row(value)
