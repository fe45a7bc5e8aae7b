"""The frontier's page: a line of dots for each way of training, and the areas under them."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from heedful.report.html import TEMPLATES
from heedful.report.svg import Series, line_chart, number
from heedful.run import atomic_text


def write_frontier(root: Path) -> None:
    """Read frontier.json and write frontier.html beside it."""
    table = json.loads((root / "frontier.json").read_text(encoding="utf-8"))
    series = [
        Series(line["line"], [(0.0, table["start"]), *_points(line)], 1 + tone % 7, dashed=tone > 6, dots=True)
        for tone, line in enumerate(table["lines"])
    ]
    chart = line_chart(series, title="Truth over KL", x_label="sequence KL to the reference, nats an answer")
    style, script = (TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    page = environment.from_string(TEMPLATES.joinpath("frontier.html").read_text(encoding="utf-8")).render(
        table=table, chart=chart, style=Markup(style), script=Markup(script)
    )
    atomic_text(root / "frontier.html", page)


def _points(line: dict[str, list[dict[str, float]]]) -> list[tuple[float, float]]:
    return sorted((dot["kl"], dot["truth"]) for dot in line["points"])
