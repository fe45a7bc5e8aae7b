"""A sheet of one's own, written as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from heedful.errors import InputError, text_of
from heedful.feedback.sheet import Criterion, Flag, Frozen, Sheet
from heedful.wording import OWN, expected

PARTS: Mapping[str, type[Frozen]] = {"criteria": Criterion, "conversation": Criterion, "flags": Flag}


def load_sheet(path: Path) -> Sheet:
    """HeedfulError: there is no such file, or it is no sheet."""
    return read_sheet(text_of(path), str(path))


def read_sheet(text: str, name: str) -> Sheet:
    """InputError names what is wrong: file, field, what was found and what was expected."""
    try:
        return Sheet.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: is no TOML ({error})") from None
    except ValidationError as error:
        raise InputError(f"{name}: {_sentence(error.errors()[0])}") from None


def _sentence(fault: Any) -> str:
    loc = fault["loc"]
    where = f"field '{loc[-1]}'" if loc else "the sheet"
    if len(loc) > 1 and isinstance(loc[1], int):  # of a list of tables, counted as a reader counts
        own = f"field '{'.'.join(map(str, loc[2:]))}' of " if len(loc) > 2 else ""
        where = f"{own}[[{loc[0]}]] number {loc[1] + 1}" if loc[0] in PARTS else f"{loc[0]}, entry {loc[1] + 1}"
    if fault["type"] == "extra_forbidden":
        known = list((PARTS[str(loc[0])] if len(loc) > 1 else Sheet).model_fields)
        near = get_close_matches(str(loc[-1]), known, n=1)
        return f"{where} is unknown; " + (f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}")
    if fault["type"] == "missing":
        return f"{where} is missing; add it"
    found = f", found {fault['input']!r:.80}" if isinstance(fault["input"], str | int | float) else ""
    said = fault["msg"].removeprefix("Value error, ") if fault["type"] == OWN else f"expected {expected(fault)}"
    return f"{where}: {said}{found}"
