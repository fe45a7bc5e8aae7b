"""Columns that hold a number, one of a few words, or a list, checked. An absent column is its default."""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast

from heedful.data.faults import RowFault, describe
from heedful.records import Row

T = TypeVar("T")


def choice(row: Row, field: str, allowed: tuple[str, ...], default: str) -> str:
    value = row.get(field)
    if value is None or value == "":
        return default
    if value not in allowed:
        raise RowFault(field, describe(value), f"one of {', '.join(allowed)}", "write one of them")
    return str(value)


def number(row: Row, field: str, default: float) -> float:
    value = row.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowFault(field, describe(value), "a finite number", "write one or leave it out")
    return float(value)


def weight(row: Row) -> float:
    """How much a judgement counts: above 0, and 1 where the row says nothing."""
    value = number(row, "weight", 1.0)
    if value <= 0:
        raise RowFault("weight", describe(value), "a number above 0", "remove a row that is not to count")
    return value


def list_of(row: Row, field: str, kind: type[T]) -> list[T]:
    """A list column of one kind; empty where the row has none."""
    values: Any = row.get(field)
    if values is None:
        return []
    allowed: Any = (int, float) if kind is float else kind
    if not isinstance(values, list):
        raise RowFault(field, describe(values), f"a list of {kind.__name__}", "mend the list")
    for index, value in enumerate(values):
        wrong = isinstance(value, bool) or not isinstance(value, allowed)
        if wrong or (kind is float and not math.isfinite(value)):
            expected = {int: "a whole number", float: "a finite number", str: "a text"}.get(kind, kind.__name__)
            raise RowFault(f"{field}[{index}]", describe(value), expected, "mend the list")
    return cast(list[T], values)
