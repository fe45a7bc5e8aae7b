"""What marks on config values say: which are paths, where `@stage/file` points, and which decide no result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from heedful.config.sections import IsCode, IsManner, IsPath, Section
from heedful.errors import InputError

S = TypeVar("S", bound=Section)


def _is_marked(annotation: Any, mark: type) -> bool:
    """Whether a field's type carries a mark, or is a list or dict of such types."""
    if get_origin(annotation) is Annotated and any(isinstance(found, mark) for found in get_args(annotation)[1:]):
        return True
    return any(_is_marked(part, mark) for part in get_args(annotation))


def _map_code(value: str, change: Callable[[str], str]) -> str:
    """`file.py:name` with its file changed; `module:name` as it is."""
    place, _, name = value.rpartition(":")
    return f"{change(place)}:{name}" if place.endswith(".py") else value


def _of_sections(value: Any) -> bool:
    """Whether a value is a dict of sections, each with paths of its own."""
    return isinstance(value, dict) and bool(value) and all(isinstance(item, Section) for item in value.values())


def _map_paths(section: Section, change: Callable[[str], str]) -> dict[str, Any]:
    """The section as plain values, with `change` applied to every path in it."""

    def mapped(value: Any) -> Any:
        match value:
            case Section():
                return _map_paths(value, change)
            case str():
                return change(value) if value else value
            case list():
                return [mapped(item) for item in value]
            case dict():
                return {key: mapped(item) for key, item in value.items()}
        return value

    hints = get_type_hints(type(section), include_extras=True)
    table: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            table[name] = _map_paths(value, change)
        elif _is_marked(hints[name], IsCode):
            table[name] = _map_code(value, change)
        else:
            table[name] = mapped(value) if _is_marked(hints[name], IsPath) or _of_sections(value) else value
    return table


def _given(value: str, inputs: Mapping[str, str]) -> str:
    """`$input/file` as the path that the user gave."""
    name, _, rest = value[1:].partition("/")
    if not inputs.get(name):
        raise InputError(f"inputs.{name} is not set: give it with --set inputs.{name}=PATH")
    return str(Path(inputs[name]) / rest)


def resolved_path(value: str, folders: Mapping[str, Path], inputs: Mapping[str, str]) -> str:
    """`@stage/file` and `$input/file` as a path; a path as it is. InputError: there is no such stage or input."""
    if value.startswith("$"):
        return _given(value, inputs)
    if not value.startswith("@"):
        return value
    name, _, rest = value[1:].partition("/")
    if name not in folders:
        raise InputError(f"{value}: no stage '{name}' comes earlier (earlier: {', '.join(folders) or 'none'})")
    return str(folders[name] / rest)


def resolve(config: S, folders: Mapping[str, Path], inputs: Mapping[str, str]) -> S:
    """The same config with every `@stage/file` and `$input/file` turned into a path."""
    return type(config).model_validate(_map_paths(config, lambda value: resolved_path(value, folders, inputs)))


def missing(config: Section, stage: str, inputs: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each path of an unresolved config that must be there before the run begins, and is not."""
    for path in map(str, input_paths(config)):
        if path.startswith("@"):  # an earlier stage will write it
            continue
        try:
            place = Path(_given(path, inputs) if path.startswith("$") else path)
        except InputError as error:
            yield str(error)
        else:
            if not place.exists():
                yield f"stage '{stage}': {place}: there is no such file or folder"


def input_paths(config: Section) -> Iterator[Path]:
    """Every file or folder that a resolved config reads, in the order of its fields."""
    found: list[str] = []

    def collect(value: str) -> str:
        found.append(value)
        return value

    _map_paths(config, collect)
    yield from (Path(value) for value in dict.fromkeys(found))


def essential(section: Section) -> dict[str, Any]:
    """The section as plain values, without those that say how it is computed and not what."""

    def plain(value: Any) -> Any:
        match value:
            case Section():
                return essential(value)
            case dict():
                return {key: plain(item) for key, item in value.items()}
            case list() | tuple():
                return [plain(item) for item in value]
        return value

    fields = type(section).model_fields.items()
    return {name: plain(getattr(section, name)) for name, field in fields if not is_manner(field)}


def is_manner(field: FieldInfo) -> bool:
    """Whether a field says how something is computed and not what."""
    return any(isinstance(mark, IsManner) for mark in field.metadata)
