"""What `heedful runs` and `heedful recipes` show. Reads files only."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from heedful.config import load_recipe
from heedful.config.recipe import recipe_folder, recipe_path
from heedful.errors import InputError
from heedful.evaluate.kept import Scores, kept_resamples, kept_scores, prompt_rates
from heedful.evaluate.statistics import TwoWay, t_interval
from heedful.evaluate.winrate import mean_rate
from heedful.report.verdict import PROXY, find, headline_policy, judge_of
from heedful.run import CACHE, Manifest, console, generator, output, stage_folders, stage_times
from heedful.run.times import gigabytes

Contest = tuple[str, str, str]  # policy, against, decoding


def _evaluation(root: Path) -> dict[str, Any]:
    path = root / "evaluation.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _run_root(runs: Path, name: str) -> Path:
    root = runs / name
    if not root.is_dir():
        known = ", ".join(sorted(p.name for p in runs.glob("*") if p.is_dir())) or "none"
        raise InputError(f"{root}: there is no such run (runs here: {known})")
    return root


def _headline(evaluation: dict[str, Any]) -> str:
    """The verdict's first figure: the policy that it is about against the reference, sampled, and who says so."""
    if not evaluation.get("win_rate"):
        return ""
    policy, reference, judge = headline_policy(evaluation), evaluation["reference"], judge_of(evaluation)
    row = find(evaluation, policy, reference, "sample", judge)
    if row is None:
        return ""
    own = ", its own reward: no evidence" if judge == PROXY else ""
    return f"{policy} to {reference} {row['rate']:.0%} [{row['low']:.0%}, {row['high']:.0%}] (by {judge}{own})"


def _stages_meant(root: Path) -> int:
    """How many stages the run's recipe has; 0 where it is gone."""
    path = root / "recipe.toml"
    return len(tomllib.loads(path.read_text(encoding="utf-8")).get("stages", [])) if path.exists() else 0


def show_list(runs: Path) -> None:
    table = Table("run", "stages done", "time", "headline")
    for root in sorted(p for p in runs.glob("*") if p.is_dir()):
        folders = stage_folders(root)
        manifests = [m for folder in folders.values() if (m := Manifest.read(folder))]
        seconds = sum(m.seconds for m in manifests)
        done = f"{len(manifests)} of {max(len(folders), _stages_meant(root))}"
        table.add_row(root.name, done, f"{seconds / 60:.1f} min", _headline(_evaluation(root)))
    output.print(table if table.row_count else f"no runs under {runs}")


def show_times(runs: Path, name: str) -> None:
    """A run's stages by kind with their seconds and peak memory, as a table in Markdown, the longest first."""
    manifests = [m for folder in stage_folders(_run_root(runs, name)).values() if (m := Manifest.read(folder))]
    lines = ["| kind | stages | seconds | share | memory |", "|---|---|--:|--:|--:|"]
    for time in stage_times(manifests):
        held = gigabytes(time.peak)
        lines.append(f"| {time.kind} | {', '.join(time.stages)} | {time.seconds:.0f} | {time.share:.0%} | {held} |")
    seconds, held = sum(m.seconds for m in manifests), gigabytes(max((m.peak for m in manifests), default=0.0))
    lines.append(f"| all | {len(manifests)} stages | {seconds:.0f} | | {held} |")
    for line in lines:
        output.print(line, markup=False, highlight=False, soft_wrap=True)


def show_comparison(runs: Path, names: list[str], judge: str = "") -> None:
    """Rows: policy against policy and decoding, by one judge (the truth where there is one). Columns: runs, mean.

    The mean has two intervals: over the runs, which are the unit of a claim about an algorithm, and over the prompts
    that all of them were asked, each prompt's rate being its mean over the runs.
    """
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{', '.join(sorted(twice))} is given twice: a mean over runs counts each run once")
    found = {name: _evaluation(_run_root(runs, name)).get("win_rate", []) for name in names}
    judges = list(dict.fromkeys(row["judge"] for rows in found.values() for row in rows))
    if not judges:
        output.print("none of these runs holds an evaluation.json")
        return
    judge = judge or judges[0]
    if judge not in judges:
        raise InputError(f"--judge {judge}: no such judge in these runs ({', '.join(judges)})")
    cells: dict[Contest, dict[str, dict[str, Any]]] = {}
    for name, rows in found.items():
        for row in rows:
            if row["judge"] == judge:
                cells.setdefault((row["policy"], row["against"], row["decoding"]), {})[name] = row
    pooled = Pooled({name: runs / name for name in names if found[name]}, judge)
    table = Table(f"% won by {judge}", "decoding", *names, "mean, over runs", "over prompts")
    for key, by_run in cells.items():
        shown = [_percent(r["rate"], r["low"], r["high"]) if (r := by_run.get(n)) else "–" for n in names]
        mean = _mean([r["rate"] for r in by_run.values()])
        table.add_row(f"{key[0]} vs {key[1]}", key[2], *shown, mean, pooled.interval(key, list(by_run)))
    output.print(table)
    if pooled.missing:
        output.print(f"no interval over prompts: {pooled.missing}", highlight=False)
    if others := [name for name in judges if name != judge]:
        output.print(f"other judges: {', '.join(f'--judge {name}' for name in others)}")


class Pooled:
    """Rates of several runs as one for each prompt, and their interval: prompts clustered on template and slot."""

    def __init__(self, roots: Mapping[str, Path], judge: str) -> None:
        self._roots = roots
        self._scores: dict[str, Scores] = {}
        self._resamples: dict[tuple[str, ...], TwoWay] = {}
        self.missing = ""  # why an interval could not be made
        if len(roots) > 1:
            try:
                self._scores = {name: kept_scores(root, judge) for name, root in roots.items()}
            except InputError as error:
                self.missing = str(error)

    def interval(self, contest: Contest, names: Sequence[str]) -> str:
        """Of one contest over the runs that held it; a dash where it was one, or they asked different prompts."""
        if len(names) < 2 or not self._scores:
            return "–"
        first, *others = [prompt_rates(self._scores[name], *contest) for name in names]
        if not first or any(other.keys() != first.keys() for other in others):
            self.missing = "these runs were not asked the same prompts"
            return "–"
        asked = tuple(first)
        if asked not in self._resamples:
            rng = generator(0, "compare", "bootstrap")
            self._resamples[asked] = kept_resamples(self._roots[names[0]], asked, rng)
        means = np.mean([[one[prompt] for prompt in asked] for one in (first, *others)], axis=0)
        found = mean_rate(means, self._resamples[asked])
        return _interval(found.low, found.high, 1)


def _percent(rate: float, low: float, high: float, digits: int = 0) -> str:
    """A share and its interval."""
    return f"{100 * rate:.1f} {_interval(low, high, digits)}"


def _interval(low: float, high: float, digits: int) -> str:
    """In percent, within 0 and 100."""
    return f"[{100 * max(low, 0):.{digits}f}, {100 * min(high, 1):.{digits}f}]"


def _mean(rates: list[float]) -> str:
    """Over runs, which are the unit of a claim about an algorithm: the mean with Student's interval."""
    interval = t_interval(rates)
    if len(rates) < 2:
        return f"{100 * interval.mean:.1f}"
    return _percent(interval.mean, interval.low, interval.high, 1)


def prune(runs: Path, names: list[str]) -> None:
    """Delete checkpoints and caches of complete stages, and say what that freed."""
    for name in names:
        freed = 0
        for folder in stage_folders(_run_root(runs, name)).values():
            for own in (folder / "checkpoints", folder / CACHE):
                if Manifest.read(folder) and own.exists():
                    freed += sum(p.stat().st_size for p in own.rglob("*") if p.is_file())
                    shutil.rmtree(own)
        console.print(f"{name}: {freed / 1e6:.1f} MB freed")


def show_recipes() -> None:
    table = Table("recipe", "what it does", "stages")
    for path in sorted(recipe_folder().glob("*.toml")):
        recipe = load_recipe(str(path))
        table.add_row(path.stem, recipe.about, " → ".join(stage.name for stage in recipe.stages))
    output.print(table)


def copy_recipe(name: str, target: Path) -> None:
    source = recipe_path(name)
    copy = target / source.name
    if copy.exists():
        raise InputError(f"{copy}: exists already; move it away first")
    shutil.copyfile(source, copy)
    console.print(f"wrote {copy}: edit it, then `heedful run {copy.name}`")
