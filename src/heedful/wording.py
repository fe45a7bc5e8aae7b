"""What pydantic finds wrong with a value, in words: what should have stood there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OWN = "value_error"  # of a validator of ours, whose message is a sentence already
NO_TABLE = ("model_type", "model_attributes_type", "dict_type")  # a value stands where named fields should


def expected(fault: Mapping[str, Any]) -> str:
    """Of one of pydantic's faults: "a whole number", "at most 4", "one of pair, rank, none"."""
    limits: Mapping[str, Any] = fault.get("ctx", {})
    match str(fault["type"]):
        case "int_type" | "int_parsing" | "int_parsing_size" | "int_from_float":
            return "a whole number"
        case "float_type" | "float_parsing":
            return "a number"
        case "finite_number":
            return "a finite number"
        case "bool_type" | "bool_parsing":
            return "true or false"
        case "string_type":
            return "a text"
        case "list_type" | "tuple_type":
            return "a list"
        case "uuid_type" | "uuid_parsing":
            return "a UUID"
        case "none_required":
            return "nothing"
        case "string_pattern_mismatch":
            return f"a text that fits {limits['pattern']}"
        case "greater_than":
            return f"more than {limits['gt']:g}"
        case "greater_than_equal":
            return f"at least {limits['ge']:g}"
        case "less_than":
            return f"less than {limits['lt']:g}"
        case "less_than_equal":
            return f"at most {limits['le']:g}"
        case "too_short" | "string_too_short":
            return f"at least {_many(limits['min_length'], fault)}"
        case "too_long" | "string_too_long":
            return f"at most {_many(limits['max_length'], fault)}"
        case "literal_error" | "enum":
            return f"one of {', '.join(choices(fault))}"
    return str(fault["msg"]).removeprefix("Input should be ")


def _many(number: int, fault: Mapping[str, Any]) -> str:
    what = ("character", "characters") if str(fault["type"]).startswith("string") else ("entry", "entries")
    return f"{number} {what[number != 1]}"


def choices(fault: Mapping[str, Any]) -> list[str]:
    """What a choice may be, of a fault that says that it is none of these."""
    told = str(fault["ctx"]["expected"])
    return re.findall(r"'([^']*)'", told) or [told]
