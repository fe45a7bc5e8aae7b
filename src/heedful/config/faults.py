"""What is wrong with a config: a sentence for each fault, with whose it is, which key, what was expected and found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError

from heedful.config.sections import Section
from heedful.wording import NO_TABLE, OWN, expected

Kinds = Mapping[str, type[Section]]
Place = tuple[int | str, ...]
OF_A_KEY = "[key]"  # what pydantic puts behind the name of an entry when the name itself is at fault


def explain(
    error: ValidationError,
    source: str,
    table: Mapping[str, Any],
    overrides: Iterable[str],
    top: type[Section],
    kinds: Kinds,
) -> str:
    """Whether the file or a --set is to blame, where, what was found and expected; the same is said once.

    top: the section that the table stands for. kinds: its stages, or what itself is, by `type`.
    """
    settings = [override.partition("=")[0] for override in overrides]
    lines = []
    for fault in error.errors():
        place = _as_set(fault["loc"], table, kinds)
        whole = fault["type"] == OWN and isinstance(fault["input"], dict)  # any key of the section may be to blame
        setting = "" if whole else _setting(place, settings)
        lines.append(f"--set {setting}: " if setting else f"{source}: ")
        lines[-1] += _sentence(fault, _named(fault["loc"], place), top, kinds)
    return "\n".join(dict.fromkeys(lines))


def _named(loc: Place, place: Sequence[str]) -> str:
    """A fault's place in words; a stage that can't be told by its name is counted as a reader counts."""
    match loc:
        case ("stages", int(index)):
            return f"stage {index + 1}"
    return f"'{'.'.join(place)}'" if place else ""


def _sentence(fault: Any, where: str, top: type[Section], kinds: Kinds) -> str:
    loc, given = fault["loc"], fault["input"]
    known = list(_walk(loc, top, kinds)[1])
    if loc[:1] == ("stages",) and len(loc) == 2:
        known.append("rounds")  # which is spelled out before a recipe is read
    match fault["type"]:
        case "extra_forbidden":
            near = get_close_matches(str(loc[-1]), _walk(loc[:-1], top, kinds)[0].model_fields, n=1)
            mend = f"did you mean '{near[0]}'?" if near else "remove it or mend its spelling"
            return f"unknown key {where}: {mend}"
        case "missing":
            return f"{where} is missing: add it"
        case "union_tag_not_found":
            return f"{where} has no 'type': add one of {', '.join(known)}"
        case "union_tag_invalid":
            near = get_close_matches(str(given["type"]), known, n=1)
            mend = f"; did you mean '{near[0]}'?" if near else ""
            return f"{where}: type = {given['type']!r:.80} is none of {', '.join(known)}{mend}"
        case kind if kind == OWN:
            said = fault["msg"].removeprefix("Value error, ")
            return f"{where}: {said}{_found(given) if isinstance(given, str) else ''}" if where else said
        case kind if kind in NO_TABLE:
            near = get_close_matches(str(given), known, n=1) or known[:1]
            example = f'type = "{near[0]}"' if near else "key = value"
            return f"{where}: expected a section, as {{ {example} }}{_found(given)}"
    length = fault["type"].endswith(("too_short", "too_long"))
    return f"{where}: expected {expected(fault)}{'' if length else _found(given)}"


def _found(given: Any) -> str:
    """What stands there, where that fits a line; a section's contents would not."""
    match given:
        case bool():
            return f", found {str(given).lower()}"
        case str() | int() | float():
            return f", found {given!r:.80}"
        case list():
            return ", found a list"
        case dict():
            return ", found a section"
    return ""


def _as_set(loc: Place, table: Mapping[str, Any], kinds: Kinds) -> list[str]:
    """A fault's place as --set writes it: without the kinds of tagged unions, and in a recipe with the stage's name."""
    match loc:
        case ("stages", int(index), _, *rest):
            stage = table["stages"][index]
            return [str(stage.get("name", stage["type"])), *_without_kinds(rest, stage)]
        case (str(kind), *rest) if kind in kinds and rest:
            return _without_kinds(rest, table)
    return _without_kinds(loc, table)


def _without_kinds(loc: Sequence[int | str], given: Any) -> list[str]:
    """A fault's place in what was given: a section's kind, which pydantic puts after its key, is no key."""
    keys: list[str] = []
    for part in loc:
        if isinstance(given, Mapping) and part not in given and given.get("type") == part:
            continue
        given = given.get(part) if isinstance(given, Mapping) else None
        keys += [str(part)] if part != OF_A_KEY else []
    return keys


def _setting(place: Sequence[str], settings: Iterable[str]) -> str:
    """The --set key that gave what stands at this place, or a part of it; "" where none did."""
    for setting in settings:
        pairs = list(zip(place, setting.split("."), strict=False))
        if pairs and all(one == other for one, other in pairs):
            return setting
    return ""


def _walk(loc: Place, top: type[Section], kinds: Kinds) -> tuple[type[Section], Kinds]:
    """The section that a place leads into, and what it may choose from where it leads to a tagged union."""
    section = top
    for part in map(str, loc):
        if part in kinds:
            section, kinds = kinds[part], {}
        elif part in section.model_fields:
            found = list(_sections_in(section.model_fields[part].annotation))
            kinds = {kind.model_fields["type"].default: kind for kind in found if len(found) > 1}
            section = found[0] if len(found) == 1 else section
    return section, kinds


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The sections that an annotation names: itself, each of a union's, or those that a table holds."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)
