"""A run folder as plain data: manifests, metrics, evaluation, reward reports, samples. Reads, and never writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.config import ReportConfig
from heedful.run import Manifest, read_metrics, stage_folders

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage's folder. `manifest` is None while the stage is not complete."""

    name: str
    kind: str
    manifest: Manifest | None
    metrics: Rows
    reward: Mapping[str, Any]  # reward.json of a reward stage, else empty
    samples: Rows  # what a policy wrote while it was trained
    config: Mapping[str, Any]  # the stage's settings

    def series(self, key: str) -> list[tuple[float, float]]:
        """(step, value) of one metric wherever it was logged."""
        return [(float(r["step"]), float(r[key])) for r in self.metrics if isinstance(r.get(key), int | float)]

    def samples_at(self, first: bool) -> Rows:
        """The samples of the first or of the last iteration that left any."""
        iterations = [row["iteration"] for row in self.samples]
        chosen = (min if first else max)(iterations, default=-1)
        return [row for row in self.samples if row["iteration"] == chosen]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the page shows it: without its report stages, since the page says nothing about itself."""

    name: str
    stages: list[Stage]
    evaluation: Mapping[str, Any]
    recipe: str  # the recipe as TOML text, or empty
    title: str  # the heading that the recipe's report stage asks for

    @property
    def seconds(self) -> float:
        return sum(stage.manifest.seconds for stage in self.stages if stage.manifest)

    @property
    def seed(self) -> int:
        return next((stage.manifest.seed for stage in self.stages if stage.manifest), 0)

    @property
    def environment(self) -> Mapping[str, str]:
        done = [stage.manifest.environment for stage in self.stages if stage.manifest]
        return done[-1] if done else {}


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _evaluation(run: Path, folders: Mapping[str, Path]) -> dict[str, Any]:
    """The newest evaluation: a stage's own, or the one published at the run's top."""
    for folder in reversed(list(folders.values())):
        if found := _json(folder / "evaluation.json"):
            return found
    return _json(run / "evaluation.json")


def read_run(run: Path) -> RunView:
    """Everything the page needs of `runs/<name>`; what a run does not hold is empty."""
    folders = stage_folders(run)
    stages = []
    for name, folder in folders.items():
        manifest = Manifest.read(folder)
        config = manifest.config if manifest else _json(folder / "begun.json").get("config", {})
        kind = manifest.kind if manifest else str(config.get("type", name))
        if kind == "report":
            continue
        metrics, samples = read_metrics(folder / "metrics.jsonl"), read_metrics(folder / "samples.jsonl")
        if any("iteration" not in row for row in samples):
            samples = []
        stages.append(Stage(name, kind, manifest, metrics, _json(folder / "reward.json"), samples, config))
    recipe = run / "recipe.toml"
    text = recipe.read_text(encoding="utf-8") if recipe.exists() else ""
    return RunView(run.name, stages, _evaluation(run, folders), text, _title(text))


def _title(recipe: str) -> str:
    """The title of a recipe's last report stage, else that stage's default."""
    try:
        stages = tomllib.loads(recipe).get("stages", [])
    except tomllib.TOMLDecodeError:  # the page is written all the same, and shows the recipe as it stands
        stages = []
    titles = [stage["title"] for stage in stages if stage.get("type") == "report" and "title" in stage]
    return str(titles[-1]) if titles else ReportConfig().title
