"""report.html: one file that asks the network for nothing. All text of models and users is escaped, and a content
security policy allows this page's own script alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from heedful.report import figures, story
from heedful.report.read import RunView, read_run
from heedful.report.svg import number
from heedful.report.verdict import (
    DECODING_NAMES,
    Finding,
    bounds,
    headline_policy,
    heldout,
    judge_of,
    near_chance,
    page_findings,
    percent,
    tally,
)
from heedful.run import atomic_text, stage_times
from heedful.run.manifest import PEAK_MEMORY
from heedful.run.times import gigabytes

TEMPLATES = files("heedful.report") / "templates"
SUMMARY_FIGURES = 6  # of a stage's summary in the table


def write_report(run: Path, path: Path, title: str = "") -> None:
    """Read the run folder `run` and write its page to `path`. Without a title the page has the recipe's."""
    view = read_run(run)
    atomic_text(path, render(view, title or view.title))


def render(view: RunView, title: str) -> str:
    """The page as text: the same run gives the same bytes."""
    script, style = (TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in ("report.js", "report.css"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own = (percent, number, minutes, gigabytes, points, words)
    environment.filters |= {each.__name__: each for each in own}
    evaluation = view.evaluation
    found = page_findings(evaluation) if evaluation else []
    headline = headline_policy(evaluation) if evaluation else ""
    finals = story.finals(view.stages, headline)
    return environment.from_string(TEMPLATES.joinpath("report.html").read_text(encoding="utf-8")).render(
        title=title,
        view=view,
        evaluation=evaluation,
        findings=found,
        tiles=tiles(found),
        tally=tally(found),
        chips=story.chips(view.stages),
        showcase_line=story.showcase_line(evaluation) if evaluation else "",
        ppo_stages=[stage for kind in figures.PRACTISED for stage in story.final_first(view.stages, kind, headline)],
        final_losses=figures.loss_charts(finals),
        other_losses=figures.loss_charts([stage for stage in view.stages if stage not in finals]),
        base=evaluation.get("base", ""),
        reference=evaluation.get("reference", ""),
        headline=headline,
        judge=judge_of(evaluation) if evaluation else "",
        decodings=[d for d in DECODING_NAMES if any(r["decoding"] == d for r in evaluation.get("win_rate", []))],
        decoding_names=DECODING_NAMES,
        bounds=bounds,
        heldout=heldout,
        near_chance=near_chance,
        times=stage_times(stage.manifest for stage in view.stages if stage.manifest),
        criteria=list(criteria_rows(evaluation)),
        family_rows=list(family_rows(evaluation)),
        figures=figures,
        summary=summary,
        script=Markup(script),
        style=Markup(style),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def tiles(found: list[Finding]) -> list[Finding]:
    """The findings that have a figure of their own, the primary endpoint first."""
    return [finding for finding in found if finding.figure][:6]


def minutes(seconds: float) -> str:
    """`9 min 40 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def points(value: float) -> str:
    """A difference of shares in points, signed."""
    return f"{100 * value:+.1f}"


def words(name: str) -> str:
    """A name of the data as words: `agreed_with_falsehood` without its underscores."""
    return name.replace("_", " ")


def criteria_rows(evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a criterion and decoding: every model's mean with its interval."""
    section = evaluation.get("criteria", {})
    for decoding in DECODING_NAMES:
        models = {name: rows[decoding] for name, rows in section.items() if decoding in rows}
        for criterion in next(iter(models.values()), {"all": {}})["all"]:
            means = {name: rows["all"][criterion] for name, rows in models.items()}
            yield {"decoding": decoding, "criterion": criterion, "models": means}


def family_rows(evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a family, then one a group: every model's mean total, sampled."""
    sampled = {name: rows["sample"] for name, rows in evaluation.get("criteria", {}).items() if "sample" in rows}
    for key in ("by_family", "by_group"):
        for value in sorted({value for rows in sampled.values() for value in rows[key]}):
            held = {name: rows[key][value] for name, rows in sampled.items() if value in rows[key]}
            prompts = next(iter(held.values()))["prompts"]
            totals = {name: row["total"] for name, row in held.items()}
            yield {"kind": key[3:], "name": value, "prompts": prompts, "models": totals}


def summary(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The first plain figures of a stage's summary, as text; what is empty, or has a column of its own, is left out."""
    shown = []
    for key, value in values.items():
        if value == "" or key == PEAK_MEMORY:
            continue
        if isinstance(value, bool | str):
            shown.append((key, str(value)[:40]))
        elif isinstance(value, int | float):
            shown.append((key, number(value)))
    return shown[:SUMMARY_FIGURES]
