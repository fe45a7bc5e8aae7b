"""What is wrong with a row, as one sentence: where, what was found, what was expected, how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heedful.errors import InputError

SHOWN = 5  # faults that an error spells out


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at one place. `field` is empty when the fault is the whole row's."""

    where: str
    field: str
    found: str
    expected: str
    mend: str

    def __str__(self) -> str:
        field = f"field '{self.field}': " if self.field else ""
        return f"{self.where}: {field}found {self.found}, expected {self.expected}; {self.mend}"


class RowFault(Exception):
    """A fault before its place is known: converters raise it, the reader adds file and line."""

    def __init__(self, field: str, found: str, expected: str, mend: str) -> None:
        super().__init__(found)
        self.field, self.found, self.expected, self.mend = field, found, expected, mend

    def at(self, where: str) -> Fault:
        return Fault(where, self.field, self.found, self.expected, self.mend)


def describe(value: Any) -> str:
    """A value in a few words: "the number 3", "an empty text", "the text 'what is…'"."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the value {str(value).lower()}"
        case int() | float():
            return f"the number {value:.60}" if isinstance(value, float) else f"the number {str(value)[:40]}"
        case str():
            return f"the text {_shortened(value)!r}" if value.strip() else "an empty text"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
        case dict():
            return f"an object with {', '.join(map(str, value)) or 'nothing in it'}"
    return f"a value of type {type(value).__name__}"


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def raise_faults(source: str, faults: Sequence[Fault], count: int, rows: int) -> None:
    """An InputError with the first few faults and how many there are; nothing where there are none.

    faults: the first of them, in order. count: of all faults. rows: of all rows, sound ones included.
    """
    if not count:
        return
    hint = f"'heedful validate {source}' lists them, and with --sound FILE writes the sound rows to a new file"
    if count == 1:
        raise InputError(f"{faults[0]} ({hint})")
    lines = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
    first = f"the first {SHOWN}" if count > SHOWN else "they are"
    raise InputError(f"{source}: {count} faults in {rows} rows; {first}:{lines}\n  {hint}")
