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
from heedful.config import PPOConfig, load_recipe
from heedful.config.direct import PairedLoss, UnpairedLoss
from heedful.config.recipe import KINDS
from heedful.config.reference import markdown, stage_models
from heedful.config.reward import RewardLoss
from heedful.config.rl import RLAlgorithm
from heedful.run import RunFolder

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHARED = [item for item in vars(sections).values() if isinstance(item, type) and issubclass(item, BaseModel)]
MODELS = [model for model in [*stage_models(), *SHARED] if model is not BaseModel]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_loads(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert recipe.about, "say in `about` what the recipe does"


def folders_of(name: str) -> set[str]:
    """The stage folders of a shipped recipe's run."""
    stages = load_recipe(str(ROOT / "recipes" / f"{name}.toml")).stages
    return {RunFolder(Path()).stage_folder(index, stage.name).name for index, stage in enumerate(stages)}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_reads_stages_that_the_other_run_has(path: Path) -> None:
    text = path.read_text()
    wanted = set(re.findall(r"\$run/(\d\d-[\w-]+)", text))
    (other,) = re.findall(r"^run = .*# the run folder of `(\w+)`", text, re.M) if wanted else ["demo"]
    assert wanted <= folders_of(other)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_pages_name_stage_folders_that_runs_have(page: Path) -> None:
    """`runs/own/01-sft` is the recipe's; `$run` is a demo's folder."""
    for run, folder in re.findall(r"(\w+)/(\d\d-[a-z][\w-]*)", page.read_text()):
        assert folder in folders_of("demo" if run == "run" else run), f"{page.name}: {run}/{folder}"


def test_makefile_names_stage_folders_that_its_runs_have() -> None:
    folders = set(re.findall(r"\$\(RUN\)/(\d\d-[\w-]+)", (ROOT / "Makefile").read_text()))
    assert folders <= folders_of("demo") | folders_of("sentiment")


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


def pages_of(kind: str) -> list[str]:
    """The pages that say how an algorithm is asked for."""
    pages = [page for page in (ROOT / "docs" / "algorithms").glob("*.md") if page.name not in ("README.md", "rl.md")]
    named = rf"\A# {kind.upper()}\n" if kind in ("dpo", "ppo") else rf'type = "{kind}"|`"{kind}"`'
    return [page.read_text() for page in pages if re.search(named, page.read_text())]


@pytest.mark.parametrize(
    ("table", "kinds", "by_the_frontier"),
    [
        ("README.md", get_args(PairedLoss | UnpairedLoss), ()),
        ("rl.md", (PPOConfig, *get_args(RLAlgorithm)), ("ppo", "rloo", "grpo")),  # three seeds in place of one
    ],
)
def test_every_algorithms_page_has_its_figure_of_the_table(
    table: str, kinds: tuple[type[BaseModel], ...], by_the_frontier: tuple[str, ...]
) -> None:
    text = (ROOT / "docs" / "algorithms" / table).read_text()
    figures = dict(re.findall(r"^\| `(\w+)` \| (\d+\.\d % \[[\d., ]+\]) \|", text, re.M))
    assert set(figures) == {kind.model_fields["type"].default for kind in kinds}
    for kind, figure in figures.items():
        said = "(../experiments/frontier.md)" if kind in by_the_frontier else figure
        assert any(said in page for page in pages_of(kind)), f"{kind}: its page lacks {said}"


@pytest.mark.parametrize("kind", get_args(get_args(RewardLoss)[0]))
def test_every_reward_models_page_says_what_was_measured(kind: type[BaseModel]) -> None:
    pages = pages_of(kind.model_fields["type"].default)
    assert len(pages) == 1 and re.search(r"\b[Mm]easured\b.*?\d\d\.\d %", pages[0], re.S)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "algorithms").glob("*.md")), ids=lambda p: p.stem)
def test_every_algorithms_page_says_what_is_logged(page: Path) -> None:
    said = re.search(r"^## What is logged$|\*\*Logged\*\*|\bLogged\s+metrics:", page.read_text(), re.M)
    assert said, f"{page.name}: say under **Logged** which names of the summary and of metrics.jsonl are its own"
