"""Run folders: what stages they have, their metrics while they grow, and their reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel

from heedful.run import Manifest, stage_folders
from heedful.studio.access import House, Refused, Reviewer, Studio

router = APIRouter(tags=["runs"])
POINTS = 600  # of a curve, which is as many as a screen shows
REPORT_CSP = (  # a report is one page with its own style and script; the sandbox gives it no cookie and no address
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; font-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class StageRow(BaseModel):
    """A stage: complete once its manifest is written."""

    name: str
    """As the recipe calls it."""
    complete: bool
    """Whether its manifest is written."""
    seconds: float
    """That it took."""
    metrics: bool
    """Whether it logged any."""
    model: str
    """Its model folder, to be served; empty: it has none."""


class RunRow(BaseModel):
    """A run folder."""

    name: str
    """The run's folder."""
    stages: list[StageRow]
    """In order."""
    report: bool
    """Whether report.html is there."""
    changed_at: float
    """Seconds since 1970."""


class Curves(BaseModel):
    """Metrics of a stage: name -> points (step, value), at most a screen's worth; `steps` counts the lines."""

    curves: dict[str, list[tuple[float, float]]]
    """Name → points (step, value)."""
    steps: int
    """Lines of the log."""
    complete: bool
    """Whether the stage has ended."""


def _folder(studio: Studio, name: str) -> Path:
    root = studio.settings.runs / name
    if "/" in name or "\\" in name or name.startswith(".") or not root.is_dir() or not _within(studio, root):
        raise Refused(404, f"there is no run '{name[:80]}'")
    return root


def _within(studio: Studio, path: Path) -> bool:
    return path.resolve().is_relative_to(studio.settings.runs.resolve())


def _stage(name: str, folder: Path) -> StageRow:
    manifest = Manifest.read(folder)
    model = folder / "model"
    return StageRow(
        name=name,
        complete=manifest is not None,
        seconds=manifest.seconds if manifest else 0.0,
        metrics=(folder / "metrics.jsonl").exists(),
        model=str(model) if (model / "config.json").exists() else "",
    )


@router.get("/runs")
def runs(studio: House, who: Reviewer) -> list[RunRow]:
    """Every run folder, the newest first."""
    found = [
        RunRow(
            name=root.name,
            stages=[_stage(name, folder) for name, folder in stage_folders(root).items()],
            report=(root / "report.html").exists(),
            changed_at=root.stat().st_mtime,
        )
        for root in studio.settings.runs.glob("*")
        if root.is_dir() and not root.name.startswith(".") and stage_folders(root) and _within(studio, root)
    ]
    return sorted(found, key=lambda one: -one.changed_at)


@router.get("/runs/{name}/stages/{stage}/metrics")
def metrics(
    name: str, stage: str, studio: House, who: Reviewer, points: Annotated[int, Query(ge=10, le=5000)] = POINTS
) -> Curves:
    """The curves of a stage, also while it runs."""
    folders = stage_folders(_folder(studio, name))
    if stage not in folders:
        raise Refused(404, f"the run has no stage '{stage[:80]}'")
    curves: dict[str, list[tuple[float, float]]] = {}
    lines = 0
    for row in _rows(folders[stage] / "metrics.jsonl"):
        lines += 1
        for key, value in row.items():
            if key != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                curves.setdefault(key, []).append((float(row.get("step", lines)), float(value)))
    complete = Manifest.read(folders[stage]) is not None
    return Curves(curves={key: thinned(line, points) for key, line in curves.items()}, steps=lines, complete=complete)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole: a running stage may be writing the last one. No NaN, which JSON can't carry."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def thinned(line: list[tuple[float, float]], points: int) -> list[tuple[float, float]]:
    """At most so many points: means of equal stretches, the last point always as it is."""
    if len(line) <= points:
        return line
    size = len(line) / (points - 1)
    parts = [line[int(i * size) : max(int(i * size) + 1, int((i + 1) * size))] for i in range(points - 1)]
    means = [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
    return [*means, line[-1]]


@router.get("/runs/{name}/report", response_class=FileResponse)
def report(name: str, studio: House, who: Reviewer) -> FileResponse:
    """The run's report, in a sandbox."""
    path = _folder(studio, name) / "report.html"
    if not path.is_file() or not _within(studio, path):
        raise Refused(404, f"the run has no report yet: 'heedful report {name}' writes one")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_CSP})
