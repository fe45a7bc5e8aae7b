"""Line charts as inline SVG: readable without scripts, in dark mode and in print. A script adds the reading of values.

Charts are drawn for a phone's width; wider screens set several side by side. Colours are the page's CSS variables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 34
MOST_POINTS = 240  # of one line; more are averaged in groups


@dataclass(frozen=True, slots=True)
class Series:
    """A named line. `tone` is an index into the page's palette; `dots` draws its points with their names."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: int = 0
    dashed: bool = False
    dots: bool = False
    labels: Sequence[str] = ()


def number(value: float) -> str:
    """Three significant digits, without noise."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g}\N{NO-BREAK SPACE}{letter}"
    text = f"{value:,.{max(0, 2 - floor(log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values from at or above `low` to at or below `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    base = 10.0 ** floor(log10(rough))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= rough * 0.999)
    return [round(k * step, 12) for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of its group."""
    size = max(1, ceil(len(points) / MOST_POINTS))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


@dataclass(frozen=True, slots=True)
class Scale:
    """Data to pixels."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1
        )


def _range(values: Sequence[float], include: Sequence[float] = ()) -> tuple[float, float]:
    low, high = min([*values, *include]), max([*values, *include])
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str = "",
    include: Sequence[float] = (),
    words: str = "",
) -> Markup:
    """A figure with its title, legend and chart; empty without a finite point. `include`: y values to show; `words`:
    how to read it, said below."""
    drawn = [
        Series(s.name, [p for p in thin(s.points) if all(map(isfinite, p))], s.tone, s.dashed, s.dots, s.labels)
        for s in series
    ]
    drawn = [s for s in drawn if s.points]
    if not drawn:
        return Markup()
    xs, ys = ([p[axis] for s in drawn for p in s.points] for axis in (0, 1))
    x_range = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 1, max(xs) + 1)
    if any(s.dots for s in drawn):
        x_range = _range(xs)
    scale = Scale(x_range, _range(ys, include))
    parts = [_axes(scale, x_label), *(_line(s, scale) for s in drawn)]
    readings = [
        {"name": s.name, "tone": s.tone, "points": [[*scale.at(x, y), number(x), number(y)] for x, y in s.points]}
        for s in drawn
    ]
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, Markup("").join(parts)
    )
    caption = Markup("<figcaption><b>{}</b> <small>{}</small>{}</figcaption>").format(title, y_label, _legend(drawn))
    below = Markup('<p class="words">{}</p>').format(words) if words else ""
    return Markup('<figure class="chart" data-chart="{}" data-x="{}">{}{}<output></output>{}</figure>').format(
        json.dumps(readings), x_label, caption, svg, below
    )


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup()
    key = Markup('<span class="key t{}{}">{}</span>')
    items = [key.format(s.tone, " dash" if s.dashed else "", s.name) for s in series]
    return Markup('<span class="keys">{}</span>').format(Markup("").join(items))


def _text(x: float, y: float, style: str, text: str) -> Markup:
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(x, y, style, text)


def _axes(scale: Scale, x_label: str) -> Markup:
    parts = []
    for value in ticks(*scale.y):
        _, y = scale.at(scale.x[0], value)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(_text(LEFT - 5, y + 3.5, "tick end", number(value)))
    for value in ticks(*scale.x):
        x, _ = scale.at(value, scale.y[0])
        parts.append(_text(x, HEIGHT - BOTTOM + 15, "tick middle", number(value)))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "label middle", x_label))
    return Markup("").join(parts)


def _line(series: Series, scale: Scale) -> Markup:
    pixels = [scale.at(x, y) for x, y in series.points]
    parts = []
    if len(pixels) > 1:
        path = "M" + "L".join(f"{x} {y}" for x, y in pixels)
        dash = " dash" if series.dashed else ""
        parts.append(Markup('<path class="line s{}{}" d="{}"/>').format(series.tone, dash, path))
    for index, (x, y) in enumerate(pixels if series.dots else []):
        parts.append(Markup('<circle class="f{}" cx="{}" cy="{}" r="4"/>').format(series.tone, x, y))
        if index < len(series.labels):
            side, gap = ("end", -8) if x > WIDTH * 0.7 else ("start", 8)
            parts.append(_text(x + gap, y + 4, f"label {side}", series.labels[index]))
    return Markup('<g class="series">{}</g>').format(Markup("").join(parts))
