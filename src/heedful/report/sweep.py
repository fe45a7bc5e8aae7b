"""A sweep's page: what each cell reached, and the frontier of truth (or reward) over sequence KL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from heedful.report.html import TEMPLATES
from heedful.report.svg import Series, line_chart, number
from heedful.run import Manifest, atomic_text, stage_folders

SEED = "seed"


@dataclass(frozen=True, slots=True)
class Point:
    """Where one cell's policy ended. Empty `measure`: nowhere, since it broke or measured nothing."""

    name: str
    settings: Mapping[str, str]
    error: str
    policy: str = ""
    kl: float = 0.0  # nats an answer, to the reference
    value: float = 0.0
    measure: str = ""  # what `value` is


def write_sweep(root: Path) -> None:
    """Read sweep.json and the cells beside it, and write sweep.html."""
    table = json.loads((root / "sweep.json").read_text(encoding="utf-8"))
    points = [_point(root, cell, table["policy"]) for cell in table["cells"]]
    style, script = (TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    page = environment.from_string(TEMPLATES.joinpath("sweep.html").read_text(encoding="utf-8")).render(
        title=root.name, keys=list(table["grid"]), points=points, chart=frontier(points, list(table["grid"])),
        style=Markup(style), script=Markup(script),
    )  # fmt: skip
    atomic_text(root / "sweep.html", page)


def _point(root: Path, cell: Mapping[str, Any], policy: str) -> Point:
    """A cell's evaluation, or where it has none what its last reinforcement learning stage summed up."""
    plain = Point(cell["name"], cell["settings"], cell["error"])
    path = root / cell["name"] / "evaluation.json"
    if path.exists():
        return _evaluated(plain, json.loads(path.read_text(encoding="utf-8")), policy)
    for name, folder in reversed(stage_folders(root / cell["name"]).items()):
        manifest = Manifest.read(folder)
        if manifest and {"kl", "reward"} <= manifest.summary.keys() and policy in ("", name):
            found = manifest.summary
            return Point(plain.name, plain.settings, plain.error, name, found["kl"], found["reward"], "reward")
    return plain


def _evaluated(plain: Point, evaluation: Mapping[str, Any], policy: str) -> Point:
    name = policy or evaluation["models"][-1]
    kl = evaluation.get("kl", {}).get(name)
    total = evaluation.get("criteria", {}).get(name, {}).get("sample", {}).get("all", {}).get("total")
    if not kl or not total:
        return plain
    return Point(plain.name, plain.settings, plain.error, name, kl["mean"], total["mean"], evaluation["truth"])


def frontier(points: Sequence[Point], keys: Sequence[str]) -> Markup:
    """A dot for each setting, the mean over its seeds; a line along the first key for each choice of the others."""
    axes = [key for key in keys if key != SEED]
    lines: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        if point.measure:
            line = ", ".join(f"{key} = {point.settings[key]}" for key in axes[1:])
            lines.setdefault(line, {}).setdefault(point.settings[axes[0]] if axes else "", []).append(point)
    series = []
    for tone, (line, dots) in enumerate(lines.items()):
        means = [(fmean(p.kl for p in group), fmean(p.value for p in group), label) for label, group in dots.items()]
        means.sort()
        series.append(
            Series(line, [(x, y) for x, y, _ in means], 1 + tone % 7, dots=True, labels=[m[2] for m in means])
        )
    measures = sorted({point.measure for point in points if point.measure})
    along = f" along {axes[0]}" if axes else ""
    title = f"{' and '.join(measures).capitalize()} over KL{along}"
    return line_chart(series, title=title, x_label="sequence KL to the reference, nats an answer")
