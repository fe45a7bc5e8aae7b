"""Docs can't drift: every command, config key and shipped recipe is where a reader looks for it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from pydantic import BaseModel

import heedful.config.sections as sections
from heedful.cli import app
from heedful.config import load_recipe
from heedful.config.recipe import KINDS
from heedful.config.reference import markdown, stage_models
from heedful.config.reward import RewardLoss
from heedful.config.rl import RLAlgorithm

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
SHARED = [item for item in vars(sections).values() if isinstance(item, type) and issubclass(item, BaseModel)]
MODELS = [model for model in [*stage_models(), *SHARED] if model is not BaseModel]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_loads(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert recipe.about, "say in `about` what the recipe does"


def test_every_command_is_in_the_docs() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "cli.md").read_text()
    group = typer.main.get_command(app)
    for name in group.commands:  # type: ignore[attr-defined]
        assert f"heedful {name}" in text, f"`heedful {name}` is in neither README.md nor docs/cli.md"


def test_config_page_is_the_generated_one() -> None:
    assert (ROOT / "docs" / "config.md").read_text() == markdown(), "run `make docs`"


def test_every_stage_is_on_the_config_page() -> None:
    assert set(KINDS.values()) <= set(stage_models())


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_sections_stay_readable(model: type[BaseModel]) -> None:
    assert len(model.model_fields) <= 16, f"{model.__name__} has too many fields to read at a glance"


def test_every_shipped_recipe_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for path in RECIPES:
        assert path.stem in text


def test_readme_names_only_commands_that_exist() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    text = (ROOT / "README.md").read_text()
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.S):
        for name in re.findall(r"^(?:\$ )?heedful ([a-z]+)", block, re.M):
            assert name in commands, f"README.md shows `heedful {name}`, which is no command"


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "algorithms").glob("*.md")), ids=lambda p: p.stem)
def test_equations_stand_apart_from_the_paragraph(page: Path) -> None:
    """A block of equations is indented from its first line on: else Markdown melts it into the text."""
    lines = page.read_text().splitlines()
    for before, line in pairwise(lines):
        melted = line.startswith("    ") and before.strip() and not before.startswith(("    ", "#", "-", "|"))
        assert not melted, f"{page.name}: {before!r} and {line!r}"


def test_every_algorithm_is_on_the_page_that_says_which_to_choose() -> None:
    text = (ROOT / "docs" / "algorithms" / "README.md").read_text()
    kinds = [k.model_fields["type"].default for k in [*get_args(RLAlgorithm), *get_args(get_args(RewardLoss)[0])]]
    assert [kind for kind in ("ppo", *kinds) if f"`{kind}`" not in text] == []
