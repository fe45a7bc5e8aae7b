"""Charts: ticks, numbers, thinning, and points where they belong."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.report.svg import MOST_POINTS, Series, line_chart, number, thin, ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (1234.5, "1,234"),
        (0.01234, "0.0123"),
        (-3.14159, "-3.14"),
        (2.99e6, "2.99\N{NO-BREAK SPACE}M"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(0.03, 29) == [10, 20]


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_few_whatever_the_range(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 6
    assert all(low - span * 1e-6 <= t <= low + span * (1 + 1e-6) for t in found)


def test_long_lines_are_averaged_in_groups() -> None:
    points = [(float(i), float(i % 2)) for i in range(1000)]
    thinned = thin(points)
    assert len(thinned) <= MOST_POINTS and sum(y for _, y in thinned) / len(thinned) == pytest.approx(0.5, abs=0.05)
    assert thin(points[:5]) == points[:5]


def test_higher_is_higher_and_later_is_further_right() -> None:
    chart = line_chart([Series("a", [(0, 1.0), (1, 3.0), (2, 2.0)])], title="t", x_label="x")
    (data,) = re.findall(r'data-chart="(.*?)"', chart)
    points = json.loads(unescape(data))[0]["points"]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    assert xs == sorted(xs) and ys[1] < ys[2] < ys[0]  # pixels count downwards
    assert [p[3] for p in points] == ["1", "3", "2"]


def test_names_are_escaped_and_empty_charts_are_nothing() -> None:
    nan = float("nan")
    assert line_chart([Series("a", [(0, nan)])], title="t", x_label="x") == ""
    series = [Series("<b>&", [(0, 1), (1, 2)]), Series("z", [(0, 1), (1, nan)])]
    chart = line_chart(series, title="<t>", x_label='"x"')
    assert "<b>&amp;" not in chart and "&lt;b&gt;&amp;" in chart and "&lt;t&gt;" in chart
