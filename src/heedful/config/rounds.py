"""Iterated rounds: a block of stages that a recipe spells once and that becomes `sample-1`, `label-1`, … `ppo-3`.

Inside the block a path names its round by what stands behind the stage's name:

    @label/…            of this round
    @ppo:previous/…     of the round before; in the first round of the stage that `start` names, else it falls away
    @label:all/…        of this and all earlier rounds, in a list or a table

After the block `@ppo:last/…` is the last round's and `@ppo:all/…` every round's; in a table its key gets the number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from heedful.config.faults import explain
from heedful.config.sections import Name, Section
from heedful.errors import InputError

KIND = "rounds"


class RoundsConfig(Section):
    """Stages that are run once a round, in a recipe's list of stages: the policy's answers are labelled anew."""

    type: Literal["rounds"] = "rounds"
    name: Name = "rounds"
    count: int = Field(ge=1)
    """How many rounds."""
    start: dict[str, str] = {}
    """Stage of the block → what stands for its previous round in the first one: an earlier stage, `ppo = "sft"`, or a
    stage's folder of another run, `ppo = "$run/03-sft"`."""
    stages: list[dict[str, Any]] = Field(min_length=1)
    """The stages of a round, in order, as in a recipe; their names get the round's number: `label-2`."""


@dataclass(frozen=True, slots=True)
class Places:
    """Which stages a path with a mark means, seen from one stage."""

    block: RoundsConfig
    number: int  # of the round; beyond the last: after the block
    before: frozenset[str]  # stages of the block that are done in this round already
    tables: frozenset[str]  # keys under which stand tables of paths, which may have an entry more or less

    def of(self, name: str, mark: str) -> list[str]:
        """What `@name:mark` stands for here, as beginnings of paths; nothing where there is none yet."""
        done = self.number if name in self.before else self.number - 1
        match mark:
            case "" if name in self.before:
                return [f"@{name}-{self.number}"]
            case "previous" if self.inside and self.number > 1:
                return [f"@{name}-{self.number - 1}"]
            case "previous" if self.inside:
                return [first if "/" in first else f"@{first}" for first in self._start_of(name)]
            case "all":
                return [f"@{name}-{k}" for k in range(1, done + 1)]
            case "last" if not self.inside:
                return [f"@{name}-{self.block.count}"]
        marks = "previous or :all" if self.inside else "last or :all"
        early = f": '{name}' comes later in the round" if self.inside and not mark else ""
        raise InputError(f"@{name}{':' * bool(mark)}{mark} is of no one round here{early}; write @{name}:{marks}")

    def _start_of(self, name: str) -> list[str]:
        return [self.block.start[name]] if name in self.block.start else []

    @property
    def inside(self) -> bool:
        return self.number <= self.block.count


def expand_rounds(table: dict[str, Any], source: str, tables: frozenset[str]) -> dict[str, Any]:
    """A recipe's table with its block of rounds spelled out. InputError: the block or a path into it is wrong.

    tables: the keys of stages under which names stand for paths, as in `models`.
    """
    stages = tables_in(table)
    where = [i for i, stage in enumerate(stages) if stage.get("type") == KIND]
    if not where or stages != table["stages"]:  # what is no table there is refused when the recipe is read
        return table
    if len(where) > 1:
        raise InputError(f"{source}: holds {len(where)} blocks of rounds; a recipe can have one")
    try:
        block = RoundsConfig.model_validate(stages[where[0]])
    except ValidationError as error:
        raise InputError(explain(error, f"{source}: rounds", stages[where[0]], (), RoundsConfig, {})) from None
    names = names_of(block.stages)
    if unknown := sorted(block.start.keys() - set(names)):
        raise InputError(
            f"{source}: rounds.start names {unknown[0]}, which is no stage of the round ({', '.join(names)})"
        )
    spelled = []
    for number in range(1, block.count + 1):
        for index, stage in enumerate(block.stages):
            places = Places(block, number, frozenset(names[:index]), tables)
            spelled.append(_spell(stage, names, places) | {"name": f"{names[index]}-{number}"})
    after = Places(block, block.count + 1, frozenset(), tables)
    rest = [_tell_rounds(_spell(stage, names, after), names) for stage in stages[where[0] + 1 :]]
    return table | {"stages": [*stages[: where[0]], *spelled, *rest]}


def tables_in(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of a recipe or of a block of rounds, as far as they are tables."""
    stages = block.get("stages")
    return [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []


def names_of(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the stages of a block are called, without the number."""
    return [str(stage.get("name", stage.get("type", ""))) for stage in stages]


def _spell(value: Any, names: Sequence[str], places: Places, key: str = "") -> Any:
    """A value with every path into the block turned into paths of numbered stages."""
    match value:
        case str():
            found = _paths(value, names, places)
            if len(found) != 1:
                raise InputError(
                    f"{value}: stands for {len(found)} stages where one is needed"
                    + ("" if found else ": name the one of the first round under start")
                )
            return found[0]
        case list():
            parts = (_paths(v, names, places) if isinstance(v, str) else [_spell(v, names, places)] for v in value)
            return [part for some in parts for part in some]
        case dict() if key in places.tables:
            return {name: path for own, item in value.items() for name, path in _entries(own, item, names, places)}
        case dict():
            return {own: _spell(item, names, places, own) for own, item in value.items()}
    return value


def _entries(key: str, item: Any, names: Sequence[str], places: Places) -> list[tuple[str, Any]]:
    """An entry of a table of paths: of all rounds it becomes several, their keys numbered; of none it falls away. A
    table in it, a blend's part, stays one, with its paths spelled out."""
    if isinstance(item, dict):
        return [(key, _spell(item, names, places))]
    name, mark, _ = _parts(item)
    if name not in names:
        return [(key, item)]
    found = _paths(item, names, places)
    return [(f"{key}-{_parts(path)[0].rpartition('-')[2]}" if mark == "all" else key, path) for path in found]


def _paths(value: str, names: Sequence[str], places: Places) -> list[str]:
    name, mark, rest = _parts(value)
    if name not in names:
        if mark in ("previous", "all", "last"):
            raise InputError(f"{value}: {name} is no stage of the round ({', '.join(names)})")
        return [value]
    return [beginning + rest for beginning in places.of(name, mark)]


def _parts(value: Any) -> tuple[str, str, str]:
    """`@label:all/rankings.jsonl` → label, all, /rankings.jsonl; of anything else the first is empty."""
    if not isinstance(value, str) or not value.startswith("@"):
        return "", "", ""
    head, slash, rest = value[1:].partition("/")
    name, _, mark = head.partition(":")
    return name, mark, slash + rest


def _tell_rounds(stage: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """An evaluation is told which round of labels each model learned from, where the recipe does not say so."""
    models = stage.get("models")
    if stage.get("type") != "evaluate" or "rounds" in stage or not isinstance(models, dict):
        return stage
    rounds = {}
    for key, path in models.items():
        name, _, number = _parts(path)[0].rpartition("-")
        if name in names and number.isdigit():
            rounds[key] = int(number)
    return stage | ({"rounds": rounds} if rounds else {})
