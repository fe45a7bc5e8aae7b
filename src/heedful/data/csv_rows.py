"""Rows of CSV and TSV files, each with the line where it begins. Cells are text; some columns stand for something else.

`label` and `tie` hold true or false (or 1 and 0), `margin` and `weight` numbers, and what is a list in JSONL (`ranks`,
`messages`, …) is written as JSON. An empty cell is nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from heedful.data.faults import Fault, RowFault, describe
from heedful.data.json_rows import BOM, LINE_CAP, Located, check_texts, decode_utf8, lines_of, parse
from heedful.records import Row

COMMAS = ",;\t"  # a table program writes what its country is used to
TRUTHS = frozenset({"label", "kto_tag", "tie"})
TRUTH = {"true": True, "1": True, "false": False, "0": False}
NUMBERS = frozenset({"margin", "weight", "temperature", "overall_preference", "tstamp", "seconds", "at"})
LISTS = frozenset(
    {
        "completions", "ranks", "labels", "ratings", "margins", "sources", "messages", "conversations", "history",
        "meta", "token_ids", "logprobs", "scores", "value", "shown", "conversation_a", "conversation_b",
    }
)  # fmt: skip
RATED = frozenset({"prompt", "response"})  # HelpSteer's columns, beside which each criterion has one with its numbers
UNRATED = RATED | {"id", "rater", "rater_kind"}
TURNS = ({"role", "content"}, {"from", "value"})  # the keys of a message, in the two ways that it is written


def read_csv(stream: IO[bytes], source: str, commas: str = COMMAS) -> Iterator[Located | Fault]:
    """Rows of a table whose first line names the columns, with a fault in the place of each broken one.

    commas: what may separate cells; the one that the first line holds most does. Past a broken quote, or bytes that are
    not UTF-8, no row can be told from the next: such a fault is the last one.
    """
    csv.field_size_limit(LINE_CAP)
    reader: Any = None
    names: list[str] = []
    try:
        lines = _texts(stream)
        first = next(lines, "")
        reader = csv.reader(chain([first], lines), delimiter=max(commas, key=first.count), strict=True)
        begin = 1
        for cells in reader:
            where, begin = f"{source}:{begin}", reader.line_num + 1
            if not cells:
                continue
            try:
                if names:
                    yield Located(where, _row(names, cells))
                else:
                    names = _header(cells)
            except RowFault as fault:
                yield fault.at(where)
                if not names:
                    return
    except RowFault as fault:
        yield fault.at(f"{source}:{reader.line_num + 1 if reader else 1}")
    except csv.Error as error:
        yield _broken(error).at(f"{source}:{begin}")


def _texts(stream: IO[bytes]) -> Iterator[str]:
    for number, raw, length in lines_of(stream):
        if number == 1 and raw.startswith(b"PK\x03\x04"):
            raise RowFault("", "a workbook or another archive", "CSV", "save the table as CSV in UTF-8")
        if length > LINE_CAP:
            found = f"a line of {length / 2**20:.0f} MiB"
            raise RowFault("", found, f"at most {LINE_CAP // 2**20} MiB a line", "look for lost line ends")
        yield decode_utf8(raw.removeprefix(BOM) if number == 1 else raw)


def _broken(error: csv.Error) -> RowFault:
    """Why a table can't be read on from here."""
    if "unexpected end" in str(error):
        return RowFault("", "a quote that is never closed", "a cell that ends", "close it, or double a quote in a cell")
    mend = 'write "" for a quote inside a cell in quotes'
    return RowFault("", f"text that is not CSV ({error})", "cells between commas, in quotes where needed", mend)


def _header(cells: list[str]) -> list[str]:
    """The columns' names; one that has none is called by its number."""
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, start=1)]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise RowFault(twice, "two columns of this name", "one", "rename or remove one of them")
    return names


def _row(names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        found, expected = f"{len(cells)} cells", f"{len(names)}, one for each column that the first line names"
        raise RowFault("", found, expected, "put quotes round a cell that holds a comma or a line end")
    row = {name: cell or None for name, cell in zip(names, cells, strict=True)}
    check_texts(row)
    rated = row.keys() >= RATED
    return {name: cell and _meant(name, cell, rated) for name, cell in row.items()}


def _meant(name: str, cell: str, rated: bool) -> Any:
    """What a cell stands for; what is not what its column holds stays text, which the reader of the row names."""
    if name in TRUTHS:
        return TRUTH.get(cell.strip().lower(), cell)
    if name in NUMBERS or (rated and name not in UNRATED | LISTS):
        return _number(cell)
    if name in LISTS:
        try:
            return parse(cell)
        except json.JSONDecodeError:
            expected = "a list or an object as JSON writes it"
            raise RowFault(name, describe(cell), expected, "write it so, or keep the file as JSONL") from None
    return _turns(name, cell) if cell.lstrip().startswith(("[{", "{")) else cell


def _number(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _turns(name: str, cell: str) -> Any:
    """A cell that holds messages, or one; any other text that begins like a list or an object is text."""
    try:
        value = parse(cell)
    except (json.JSONDecodeError, RowFault):
        if any(all(f"'{key}':" in cell for key in keys) for keys in TURNS):
            found = "messages as Python prints them"
            raise RowFault(name, found, "messages as JSON writes them", "keep the file as JSONL") from None
        return cell
    turns = value if isinstance(value, list) else [value]
    messages = all(isinstance(turn, dict) and any(keys <= turn.keys() for keys in TURNS) for turn in turns)
    return value if messages else cell
