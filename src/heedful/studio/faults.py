"""What is wrong with a request, in a sentence: pydantic's findings, put into words for whoever sent it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heedful.wording import NO_TABLE, OWN, choices, expected

WHERE = ("body", "query", "path", "header")  # where a field stands, which is no part of its name
CHOICE = ("literal_error", "enum")


def sentence(faults: Sequence[Any]) -> str:
    """Of the first field at fault. A value is repeated where it is a number or a choice, and may be no secret."""
    first = faults[0]
    alike = [fault for fault in faults if fault["input"] == first["input"] and fault["loc"][:2] == first["loc"][:2]]
    of_a_union = len(alike) > 1 and all(fault["type"] in CHOICE for fault in alike)
    loc = first["loc"][:-1] if of_a_union else first["loc"]
    name = ".".join(str(part) for part in loc[loc[:1] != () and loc[0] in WHERE :])
    named = f"'{name}'" if name else "the body"
    match first["type"]:
        case "json_invalid":
            return "the body is no JSON"
        case "missing":
            return f"{named} is missing; give it"
        case "extra_forbidden":
            return f"{named} is unknown here; leave it out, or mind its spelling"
        case kind if kind == OWN:
            said = first["msg"].removeprefix("Value error, ")
            return f"{name}: {said}" if name else str(said)
        case kind if kind in CHOICE:
            known = ", ".join(choice for fault in alike for choice in choices(fault))
            return f"{named}: {first['input']!r:.60} is none of {known}"
        case kind if kind in NO_TABLE:
            return f"{named}: expected an object of JSON"
    text = f"{named}: expected {expected(first)}"
    shown = first["type"].endswith("_parsing") or first["type"].startswith(("greater_", "less_"))
    return f"{text}, found {first['input']!r:.60}" if shown else text
