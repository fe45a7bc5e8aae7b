"""A recipe: stages in order. Loading, overriding from the command line, and saying clearly what is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from heedful.config.blend import BlendConfig
from heedful.config.direct import DPOConfig
from heedful.config.faults import explain
from heedful.config.on_policy import PPOConfig
from heedful.config.reward import RewardConfig
from heedful.config.rl import RLConfig
from heedful.config.rounds import KIND, expand_rounds, tables_in
from heedful.config.sections import Name, Section
from heedful.config.stages import (
    AccuracyConfig,
    AverageConfig,
    EvaluateConfig,
    LabelConfig,
    OpeningsConfig,
    PretrainConfig,
    ReportConfig,
    SampleConfig,
    SelectConfig,
    SFTConfig,
    WorldConfig,
)
from heedful.errors import InputError, text_of

StageConfig = Annotated[
    WorldConfig
    | OpeningsConfig
    | PretrainConfig
    | SFTConfig
    | SampleConfig
    | SelectConfig
    | LabelConfig
    | RewardConfig
    | BlendConfig
    | DPOConfig
    | PPOConfig
    | AccuracyConfig
    | AverageConfig
    | RLConfig
    | EvaluateConfig
    | ReportConfig,
    Field(discriminator="type"),
]
KINDS: Mapping[str, type[Section]] = {
    kind.model_fields["type"].default: kind for kind in get_args(get_args(StageConfig)[0])
}
TABLES = frozenset(  # keys of stages under which names stand for paths
    name for kind in KINDS.values() for name, field in kind.model_fields.items() if get_origin(field.annotation) is dict
)


class Recipe(Section):
    """A whole run: its name, its seed, its stages."""

    name: Name
    """The run folder's name under `runs/`."""
    seed: int = Field(0, ge=0)
    """Every random draw of every stage derives from it."""
    about: str = ""
    """One sentence that `heedful run --dry-run` prints."""
    inputs: dict[str, str] = {}
    """Paths that the user gives, once; stages name them `$key`."""
    stages: list[StageConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique_and_references_point_back(self) -> Recipe:
        seen: list[str] = []
        for stage in self.stages:
            for key in references(stage.model_dump(), "$"):
                if key not in self.inputs:
                    raise ValueError(f"stage '{stage.name}' reads ${key}, but [inputs] holds no '{key}'")
            for reference in references(stage.model_dump(), "@"):
                if reference not in seen:
                    earlier = ", ".join(seen) or "none"
                    raise ValueError(f"stage '{stage.name}' reads @{reference}, which is no earlier stage ({earlier})")
            if stage.name in seen:
                raise ValueError(f"two stages are called '{stage.name}': give one another name")
            seen.append(stage.name)
        return self


def references(value: Any, mark: str) -> Iterable[str]:
    """The names that `@stage/…` or `$input/…` paths inside a config point to."""
    match value:
        case str() if value.startswith(mark):
            yield value[1:].split("/", 1)[0]
        case dict():
            for item in value.values():
                yield from references(item, mark)
        case list() | tuple():
            for item in value:
                yield from references(item, mark)


def recipe_folder() -> Path:
    """Where the shipped recipes lie: inside the package, or beside `src` in a checkout."""
    inside = Path(str(resources.files("heedful"))) / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "recipes"


def recipe_path(name: str) -> Path:
    """A path as given, or the name of a recipe that heedful ships."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = recipe_folder() / f"{name}.toml"
    if shipped.exists():
        return shipped
    names = sorted(p.stem for p in recipe_folder().glob("*.toml"))
    raise InputError(f"no recipe '{name}': give a .toml file or one of {', '.join(names)}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None


def _parse_value(text: str) -> Any:
    """A TOML value, or the text itself where it is none (so that paths need no quotes)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(table: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {'.'.join(keys)}: '{key}' is a value, not a section")
        table = child
    table[keys[-1]] = value


def _override_recipe(table: dict[str, Any], overrides: Iterable[str]) -> list[str]:
    """Sets what can be set; returns what may name a stage of one round, which is there when rounds are spelled out.

    `ppo.optim.lr=1e-4` of a stage inside a block of rounds holds in every round, `ppo-2.optim.lr=1e-4` in one.
    """
    outer = tables_in(table)
    blocks = [stage for stage in outer if stage.get("type") == KIND]
    every = [stage for block in blocks for stage in tables_in(block)]
    stages = {str(stage.get("name", stage.get("type"))): stage for stage in [*every, *outer]}
    later = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: expected KEY=VALUE, for example ppo.optim.lr=1e-4")
        first, *rest = key.split(".")
        if not rest:
            table[first] = _parse_value(text)
        elif first == "inputs":
            _must_be_read(rest[0], table)
            _set(table, [first, *rest], text)
        elif first in stages:
            _set(stages[first], rest, _parse_value(text))
        elif blocks:
            later.append(override)
        else:
            raise InputError(f"--set {key}: no stage '{first}' in this recipe (stages: {', '.join(stages)})")
    return later


def _must_be_read(name: str, table: Mapping[str, Any]) -> None:
    """InputError: the recipe neither lists such an input nor has a path that begins with it."""
    inputs = table.get("inputs", {})
    if name not in inputs and f"'${name}" not in str(table.get("stages", [])):
        near = get_close_matches(name, inputs, n=1)
        told = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(inputs) or 'none'}"
        raise InputError(f"--set inputs.{name}: this recipe reads no input '{name}': {told}")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file or a shipped recipe, rounds spelled out; `overrides` are `stage.section.key=value`."""
    path = recipe_path(name)
    table = _read_toml(path)
    later = _override_recipe(table, overrides)
    table = expand_rounds(table, str(path), TABLES)
    _override_recipe(table, later)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise InputError(explain(error, str(path), table, overrides, Recipe, KINDS)) from None


def load_stage(kind: str, path: str, overrides: Sequence[str] = ()) -> StageConfig:
    """One stage's config from a TOML file (may be empty: '') and overrides `section.key=value`."""
    table = _read_toml(Path(path)) if path else {}
    if "stages" in table:
        raise InputError(f"{path}: is a recipe, which `heedful run {path}` runs; give a file with one stage's keys")
    table.setdefault("type", kind)
    if table["type"] != kind:
        raise InputError(f"{path}: holds a '{table['type']}' stage, not '{kind}'")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: expected KEY=VALUE, for example optim.lr=1e-4")
        _set(table, key.split("."), _parse_value(text))
    try:
        adapter: TypeAdapter[StageConfig] = TypeAdapter(StageConfig)
        return adapter.validate_python(table)
    except ValidationError as error:
        raise InputError(explain(error, path or f"heedful {kind}", table, overrides, KINDS[kind], KINDS)) from None
