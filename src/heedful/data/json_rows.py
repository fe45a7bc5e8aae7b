"""Rows of JSONL files. Every way in which such a file is broken has its own sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from heedful.data.faults import Fault, RowFault, describe
from heedful.records import Row

LINE_CAP = 16 * 2**20  # bytes of one line
BOM = b"\xef\xbb\xbf"
DELETE = "remove the line, or write it anew"


@dataclass(frozen=True, slots=True)
class Located:
    """A row and where it stands, as "file:line"."""

    where: str
    row: Row


def _refuse_constant(name: str) -> NoReturn:
    raise RowFault("", f"the value {name}", "JSON, which has no such number", "write null or a number instead")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def decode_utf8(raw: bytes, *, whole: bool = False) -> str:
    """The bytes of a line as text, or those of a whole file, where the message has to name the line."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].split(b"\n")
        line = f"line {len(before)}" if whole else "the line"
        kind = " (it begins like UTF-16)" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        found = f"the byte 0x{raw[error.start]:02x} at byte {len(before[-1])} of {line}{kind}"
        raise RowFault("", found, "UTF-8 text", "convert the file, for example with iconv -t UTF-8") from None


def texts(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Every text inside a value with the path of its field: ("messages[0].content", "Hi")."""
    match value:
        case str():
            yield field, value
        case list():
            for index, item in enumerate(value):
                yield from texts(item, f"{field}[{index}]")
        case dict():
            for key, item in value.items():
                yield field, key
                yield from texts(item, f"{field}.{key}" if field else str(key))


def check_texts(row: Any) -> None:
    """Refuse characters that no tokenizer, database or page takes."""
    for field, text in texts(row):
        if "\0" in text:
            raise RowFault(field, f"a NUL at character {text.index(chr(0))}", "text", "take the NUL away")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RowFault(
                field, "half of a surrogate pair", "whole characters", "take it away or restore the other half"
            )


def parse(text: str) -> Any:
    """JSON as it was meant; what Python's parser lets pass or fails on in other ways is a fault."""
    try:
        value = DECODER.decode(text)
        if "\\u0000" in text or "\\ud" in text or "\\uD" in text:
            check_texts(value)
        return value
    except RecursionError:
        raise RowFault("", "JSON nested too deeply", "rows a few levels deep", DELETE) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # integers of thousands of digits
        raise RowFault("", "a number too long to read", "numbers of ordinary size", f"{DELETE} ({error})") from None


def _parse_line(text: str, *, whole: bool) -> Row:
    """One line of a JSONL file. whole: the line ended with a newline, or is sound without."""
    if not text.strip():
        raise RowFault("", "an empty line", "one JSON object a line", "remove the line")
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        _explain(text, error, whole)
    return as_row(value)


def as_row(value: Any) -> Row:
    """The value, which must be a JSON object."""
    if not isinstance(value, dict):
        mend = 'write the row as {"name": value, ...}'
        raise RowFault("", describe(value), "a JSON object with named fields", mend)
    return value


def _explain(text: str, error: json.JSONDecodeError, whole: bool) -> NoReturn:
    """Why a line is not JSON."""
    if "\0" in text:
        raise RowFault("", f"a NUL at character {text.index(chr(0))}", "text", "take the NUL away") from None
    if text.rstrip().endswith(",") and error.msg == "Extra data" and text[error.pos :].strip() == ",":
        raise RowFault("", "a comma after the object", "one JSON object a line", "take the comma away") from None
    if not whole:
        found = "a last line that breaks off"
        raise RowFault("", found, "a whole JSON object", "restore the file or remove its last line") from None
    found = f"text that is not JSON ({error.msg} at character {error.pos + 1})"
    raise RowFault("", found, "one JSON object a line", DELETE) from None


def _mistaken(raw: bytes) -> RowFault | None:
    """What a file is instead of JSONL, told from its first line."""
    if raw.startswith(b"\x1f\x8b"):
        return RowFault("", "a gzip file", "JSONL", "give its name the ending .gz, or unpack it")
    if raw.startswith(b"PAR1"):
        return RowFault("", "a Parquet file", "JSONL", "give its name the ending .parquet")
    if raw.removeprefix(BOM).lstrip().startswith(b"["):
        mend = "give its name the ending .json, or write one object a line"
        return RowFault("", "a JSON array", "one JSON object a line", mend)
    return None


def lines_of(stream: IO[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """Lines as (number, bytes, length); of one beyond the cap only the beginning is held."""
    number = 0
    while raw := stream.readline(LINE_CAP + 1):
        number += 1
        length, rest = len(raw), raw
        while len(rest) > LINE_CAP and not rest.endswith(b"\n"):
            rest = stream.readline(LINE_CAP + 1)
            length += len(rest)
        yield number, raw, length


def read_jsonl(stream: IO[bytes], source: str) -> Iterator[Located | Fault]:
    """Rows of a JSONL stream, with a fault in the place of each broken one. BOM and CRLF are taken."""
    for number, raw, length in lines_of(stream):
        where = f"{source}:{number}"
        if number == 1 and (mistaken := _mistaken(raw)):
            yield mistaken.at(where)
            return
        try:
            if length > LINE_CAP:
                found, cap = f"a line of {length / 2**20:.0f} MiB", f"at most {LINE_CAP // 2**20} MiB a line"
                raise RowFault("", found, cap, "split the row, or look for lost line ends")
            text = decode_utf8(raw.removeprefix(BOM) if number == 1 else raw)
            yield Located(where, _parse_line(text, whole=raw.endswith(b"\n")))
        except RowFault as fault:
            yield fault.at(where)
