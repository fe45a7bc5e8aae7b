"""`heedful sweep`: one recipe at every point of a grid of settings, each a run folder of its own.

    runs/<recipe>-sweep/  sweep.json  sweep.html  coefficient-0.03_seed-0/ …

Stages that two cells share (same config, seed and inputs) run once: a later cell takes the finished folder over. A cell
that breaks is named and the others go on; running again skips what is complete and tries what broke.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from heedful.config import Recipe, load_recipe
from heedful.errors import HeedfulError, InputError, of_system
from heedful.pipeline import refuse_missing, run_recipe
from heedful.report.sweep import write_sweep
from heedful.run import atomic_text, console

LONGEST = 64  # letters of a run's name


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid."""

    name: str
    settings: Mapping[str, str]
    recipe: Recipe


def parse_grid(given: Sequence[str]) -> dict[str, list[str]]:
    """`key=v1,v2` → key and values; commas inside brackets and quotes belong to a value."""
    grid: dict[str, list[str]] = {}
    for item in given:
        key, equals, text = item.partition("=")
        values = [value.strip() for value in re.findall(r'(?:\[[^\]]*\]|"[^"]*"|[^,])+', text)]
        if not key or not equals or not all(values) or not values:
            raise InputError(f"--grid {item}: expected KEY=VALUE,VALUE, for example ppo.kl.coefficient=0.03,0.1,0.3")
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise InputError(f"--grid {item}: {twice[0]} stands there twice")
        if key in grid:
            raise InputError(f"--grid {key} is given twice: put all its values into one")
        grid[key] = values
    if not grid:
        raise InputError("the grid is empty: give --grid KEY=VALUE,VALUE, for example --grid seed=0,1,2")
    return grid


def cells_of(recipe: str, grid: Mapping[str, Sequence[str]], overrides: Sequence[str]) -> list[Cell]:
    """Every point of the grid as a recipe; InputError where one of them is no valid recipe."""
    cells = []
    for values in product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        loaded = load_recipe(recipe, [*overrides, *(f"{key}={value}" for key, value in settings.items())])
        refuse_missing(loaded)
        name = _name(settings)
        cells.append(Cell(name, settings, loaded.model_copy(update={"name": name})))
    return cells


def _name(settings: Mapping[str, str]) -> str:
    """`coefficient-0.03_seed-1`: the last part of each key that tells it from the others, and the value."""
    ends = Counter(key.rpartition(".")[2] for key in settings)
    short = {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in settings}
    name = re.sub(r"[^A-Za-z0-9._-]", "-", "_".join(f"{short[key]}-{value}" for key, value in settings.items()))
    spoilt = len(name) > LONGEST or any(re.search(r"[^A-Za-z0-9.+-]", value) for value in settings.values())
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(repr(settings).encode()).hexdigest()[:8]}" if spoilt else name


def sweep(recipe: str, given: Sequence[str], overrides: Sequence[str], runs: Path, policy: str = "") -> Path:
    """Run every cell, draw the frontier, and return the sweep's folder.

    `policy`: whose truth and KL are drawn; empty: the last that each cell's evaluation compares.
    HeedfulError, at the end, with the exit code of the first broken cell.
    """
    grid = parse_grid(given)
    cells = cells_of(recipe, grid, overrides)
    root = runs / f"{load_recipe(recipe, overrides).name}-sweep"
    broken: dict[str, HeedfulError] = {}
    for number, cell in enumerate(cells, start=1):
        console.print(f"[bold]cell {number} of {len(cells)}[/bold]: {_told(cell)}", highlight=False)
        try:
            run_recipe(cell.recipe, root, shared=_siblings(root, cell.name))
        except HeedfulError as error:
            broken[cell.name] = error
        except Exception as error:  # a fault of one cell, whatever it is, must not cost the others
            broken[cell.name] = of_system(error) or HeedfulError(f"{type(error).__name__}: {error}")
        if cell.name in broken:
            console.print(f"[bold red]cell {cell.name} broke:[/bold red]", str(broken[cell.name]), highlight=False)
        _write(root, grid, cells[:number], broken, policy)
    console.print(f"\nOpen [bold]{root / 'sweep.html'}[/bold]")
    if broken:
        first = next(iter(broken.values()))
        told = HeedfulError(f"{len(broken)} of {len(cells)} cells broke ({', '.join(broken)}); the others are done")
        told.exit_code = first.exit_code
        raise told
    return root


def _told(cell: Cell) -> str:
    return ", ".join(f"{key} = {value}" for key, value in cell.settings.items())


def _siblings(root: Path, name: str) -> list[Path]:
    """Other runs of this sweep, whose finished stages may be taken over."""
    return sorted(path for path in root.glob("*") if path.is_dir() and path.name != name)


def _write(
    root: Path, grid: Mapping[str, Sequence[str]], cells: Sequence[Cell], broken: Mapping[str, Exception], policy: str
) -> None:
    """sweep.json and the page, after every cell, so that both can be looked at meanwhile."""
    rows = [{"name": c.name, "settings": dict(c.settings), "error": str(broken.get(c.name, ""))} for c in cells]
    table = {"grid": {key: list(values) for key, values in grid.items()}, "policy": policy, "cells": rows}
    atomic_text(root / "sweep.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    write_sweep(root)
