"""How far each rater says what the other people say, by kind of prompt: by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from tests.feedback.test_machines import judged, said

from heedful.evaluate.rates import Z, wilson
from heedful.feedback.figures import side_test
from heedful.feedback.machines import ALL
from heedful.feedback.report import rater_report
from heedful.feedback.trust import trust
from heedful.feedback.votes import collect_votes


def test_by_hand() -> None:
    """Ann and Bob say the same of every other prompt; the judge counts among nobody's others."""
    rows = judged()
    found = trust(rows, collect_votes(rows))
    assert {(one.rater, one.stratum): (one.alike.share, one.alike.n) for one in found} == {
        ("ann", ALL): (0.5, 4), ("ann", "jokes"): (0.5, 2), ("ann", "sums"): (0.5, 2),
        ("bob", ALL): (0.5, 4), ("bob", "jokes"): (0.5, 2), ("bob", "sums"): (0.5, 2),
        ("judge", ALL): (0.5, 4), ("judge", "jokes"): (0.25, 2), ("judge", "sums"): (0.75, 2),
    }  # fmt: skip
    assert (found[0].alike.low, found[0].alike.high) == wilson(2, 4)
    assert rater_report(rows, draws=20).row()["trust"][0]["alike"]["n"] == 4


def test_a_ranking_counts_once_and_what_one_alone_judged_not_at_all() -> None:
    two = said(1, "ann", 0)
    ranked = [
        replace(two, rater=name, completions=("a", "b", "c"), value={"ranks": ranks})
        for name, ranks in (("ann", [0, 1, 2]), ("bob", [0, 2, 1]))
    ]
    rows = [*ranked, said(2, "ann", 0)]
    found = trust(rows, collect_votes(rows))
    assert [(one.rater, one.stratum, one.alike.n) for one in found] == [("ann", ALL, 1), ("bob", ALL, 1)]
    assert found[0].alike.share == pytest.approx(2 / 3)


def test_shares_on_the_dashboard_have_wilsons_interval() -> None:
    assert pytest.approx(1.959963984540054, abs=1e-15) == Z
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    test = side_test(10, 8)
    assert test.interval == wilson(8, 10) and side_test(0, 0).interval is None


def test_the_dashboard_loads_no_scipy() -> None:
    """It is asked for whenever somebody opens it, and scipy.stats takes ninety megabytes."""
    names = "heedful.studio.app, heedful.feedback.drift, heedful.feedback.leaks, heedful.feedback.figures"
    check = f"import sys, {names}; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
