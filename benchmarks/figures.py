"""Scaling curves as files of their own: measured costs, their prediction, drawn by the report's charts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

from heedful.report.svg import Series, line_chart

STYLE = (
    "<style>text{font:11px sans-serif;fill:#555}.end{text-anchor:end}.middle{text-anchor:middle}"
    ".grid{stroke:#ddd;fill:none}.line{fill:none;stroke-width:2}.s0{stroke:#0a6ebd}.s1{stroke:#c2571a}"
    ".f0{fill:#0a6ebd}.f1{fill:#c2571a}.dash{stroke-dasharray:5 4}</style>"
)


def figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name -> SVG, for every line that has points."""
    return {line["name"].replace("/", "-"): figure(line) for line in lines if "points" in line}


def figure(line: Mapping[str, Any]) -> str:
    """Cost against the axis, which is doubled from tick to tick (log₂)."""
    points = line["points"]
    measured = Series("measured", [(log2(p["at"]), p["cost"]) for p in points], tone=0, dots=True)
    predicted = Series("predicted", [(log2(p["at"]), p["predicted"]) for p in points], tone=1, dashed=True)
    axis = line["name"].partition("/")[2]
    chart = str(
        line_chart([measured, predicted], title=f"{line['about']}, {line['unit']}", x_label=f"log₂ {axis}", include=[0])
    )
    found = re.search(r"<svg .*?</svg>", chart, re.S)
    if not found:
        raise ValueError(f"{line['name']}: has no finite point to draw")
    svg = found.group().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg.replace(">", f">{STYLE}", 1) + "\n"
