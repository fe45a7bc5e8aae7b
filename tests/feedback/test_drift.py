"""Drift: run lengths by hand and simulated, planted change found, steady raters left in peace, probes that return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import select
from tests.feedback.conftest import new_item, plain, say

from heedful.feedback.accounts import create_account
from heedful.feedback.appeals import make_appeal, settle
from heedful.feedback.drift import (
    FIRST,
    STEADY,
    alarm_for,
    average_run_length,
    drifts,
    first_share,
    last_change,
)
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.labels import read_labels
from heedful.feedback.projects import Project, progress
from heedful.feedback.queue import lease, probe_turn
from heedful.feedback.sheet import Answered, in_shown_order, read_answered
from heedful.feedback.store import Store
from heedful.feedback.tables import appeal, assignment, item

Make = Callable[..., Project]
RIGHT = Answered(verdict="prefer", preferred=0, strength=2)


def test_run_lengths_by_hand_and_by_simulation() -> None:
    """Two misses in a row: L = (1 + p)/p²; one miss: 1/p. A chart of the module's own: 20,000 runs."""
    assert average_run_length(0.2, 1, 5, 1) == pytest.approx(1 / 0.2)
    assert average_run_length(0.3, 1, 1, 2) == pytest.approx(_two_up_one_down(0.3))
    assert average_run_length(0.3, 1, 9, 2) == pytest.approx((1 + 0.3) / 0.3**2)
    rng, chart = np.random.default_rng(0), alarm_for(0.2)
    level, waited, runs = np.zeros(20_000, dtype=int), np.zeros(20_000), np.ones(20_000, dtype=bool)
    while runs.any():
        waited[runs] += 1
        step = np.where(rng.random(20_000) < chart.p1, chart.up, -chart.down)
        level = np.where(runs, np.maximum(0, level + step), level)
        runs &= level < chart.height
    assert waited.mean() == pytest.approx(chart.drifted, rel=0.03)


def _two_up_one_down(p: float) -> float:
    """L₀ = 1 + p·L₁ + (1−p)·L₀ and L₁ = 1 + (1−p)·L₀."""
    return (1 + p) / (p - p * (1 - p))


@pytest.mark.parametrize("p0", [0.02, 0.1, 0.25, 0.45, 0.6])
def test_every_chart_is_rarely_wrong_and_soon_right(p0: float) -> None:
    chart = alarm_for(p0)
    assert STEADY <= chart.steady < 2 * STEADY and chart.drifted < chart.steady / 9
    assert p0 * chart.up < (1 - p0) * chart.down and chart.p1 * chart.up > (1 - chart.p1) * chart.down
    assert chart.p1 / (1 - chart.p1) == pytest.approx(3 * p0 / (1 - p0))


@pytest.mark.parametrize("miss", [0.05, 0.15, 0.3])
def test_steady_raters_are_left_in_peace_and_a_planted_change_is_found(miss: float) -> None:
    """Of 400 raters each: alarms in 100 answers after the first ones, and two checks more in five missed from 60 on."""
    rng = np.random.default_rng(1)
    false, found, places = 0, 0, []
    for _ in range(400):
        answers = (rng.random(FIRST + 100) < miss).tolist()
        chart = alarm_for(first_share(answers, miss))
        false += last_change(answers[FIRST:], chart) is not None
        changed = answers[: FIRST + 60] + (rng.random(60) < miss + 0.4).tolist()
        alarm = last_change(changed[FIRST:], chart)
        if alarm and alarm.at >= 60:
            found += 1
            places.append(alarm.since)
    assert false / 400 < 0.13  # 1 − e^(−100/1000) of a chart whose p₀ is known
    assert found / 400 > 0.9  # the others had a false alarm before, or have few misses yet
    assert 50 < np.median(places) < 66


def test_the_change_lies_behind_the_last_answer_that_fits_and_a_mend_ends_it() -> None:
    chart = alarm_for(0.1)
    steady = [False] * 9 + [True]
    found = last_change(steady * 4 + [True] * 30, chart)
    assert found and found.since == 39 and found.at < 46 and found.until == 70
    assert last_change([False] * 60, chart) is None
    mended = last_change(steady * 4 + [True] * 8 + [False] * 100, chart)
    assert mended and mended.since == 39 and 60 < mended.until < 80
    again = last_change(steady * 4 + [True] * 8 + [False] * 100 + [True] * 8, chart)
    assert again and again.since == 148 and again.until == 156  # the newest


def answer_all(store: Store, project: Project, rater: int, right: Callable[[int], bool], most: int) -> list[str]:
    """Walk the queue, and answer the checks as told by their number; returns the parts as they came."""
    parts, checks = [], 0
    with store.write() as connection:
        for turn in range(most):
            held = lease(connection, project, rater, float(turn), 1)
            if not held:
                break
            row = connection.execute(select(assignment).where(assignment.c.id == held[0])).one()
            value = RIGHT
            if row.part in ("gold", "probe"):
                value = RIGHT if right(checks) else RIGHT.model_copy(update={"preferred": 1})
                checks += 1
            shown = in_shown_order(value, tuple(row.shown)).model_dump(mode="json", exclude_defaults=True)
            say(connection, project, held[0], rater, shown, now=float(turn))
            parts.append(row.part)
    return parts


def test_probes_come_again_blind_and_at_intervals(store: Store, make: Make, people: list[int]) -> None:
    project = make(200, plain(probe=0.1, overlap=2))
    import_items(store, project, [new_item(900 + i, part="probe", expected=RIGHT) for i in range(2)], Imported())
    parts = answer_all(store, project, people[0], lambda n: True, 100)
    at = [turn for turn, part in enumerate(parts) if part == "probe"]
    assert len(at) == 10 and all(5 <= b - a <= 15 for a, b in pairwise(at))
    assert len({b - a for a, b in pairwise(at)}) > 2  # nobody can count to it
    with store.read() as connection:
        rows = connection.execute(select(item).where(item.c.part == "probe")).all()
        held = connection.execute(select(assignment.c.item_id).where(assignment.c.part == "probe")).scalars().all()
        assert progress(connection, project.id).items == 200  # the other answers to nothing
        assert {label.part for label in read_labels(connection, project)} == {"main"}  # no training on probes
    assert len(set(held)) == 10 and Counter(row.prompt_id for row in rows) == {row.prompt_id: 5 for row in rows}
    assert [read_answered(row.expected) for row in rows] == [RIGHT] * 10
    other = answer_all(store, project, people[1], lambda n: True, 100)
    assert other.count("probe") == 10 and other != parts
    with store.read() as connection:  # the rounds are shared
        assert len(connection.execute(select(item.c.id).where(item.c.part == "probe")).all()) == 10


def test_a_probe_has_its_turn_in_each_stretch(make: Make) -> None:
    project = make(1, plain(probe=0.25))
    turns = [turn for turn in range(400) if turn == probe_turn(project, 7, turn)]
    assert len(turns) == 100 and [turn // 4 for turn in turns] == list(range(100))
    assert {turn % 4 for turn in turns} == {0, 1}


def test_an_alarm_tells_who_when_and_how(store: Store, make: Make, people: list[int]) -> None:
    project = make(100, plain(probe=0.5, overlap=3))
    import_items(store, project, [new_item(900, part="probe", expected=RIGHT)], Imported())
    answer_all(store, project, people[0], lambda n: n < 30, 90)
    answer_all(store, project, people[1], lambda n: n % 10 > 0, 90)
    answer_all(store, project, people[2], lambda n: True, 20)
    with store.read() as connection:
        first, *others = drifts(connection, project, names=False)
    assert (first.rater, first.before, first.before_right, first.after_right) == ("rater-0", 30, 30, 0)
    assert first.since < first.at and "since check 31: 0 of 15 right, where it was 30 of 30" in first.sentence
    assert [one.at for one in others] == [0, 0] and "steady" in others[0].sentence
    assert "not enough data" in others[1].sentence


def test_hidden_checks_stand_in_where_there_is_no_probe(store: Store, make: Make, people: list[int]) -> None:
    project = make(100, plain(gold=0.5))
    import_items(store, project, [new_item(900 + i, part="gold", expected=RIGHT) for i in range(100)], Imported())
    parts = answer_all(store, project, people[0], lambda n: n < 25, 100)
    with store.read() as connection:
        [found] = drifts(connection, project, names=False)
    assert found.checks == parts.count("gold") > 33 and found.before_right == found.before == 25 and found.at > 0


def test_a_probe_without_a_right_answer_is_held_against_most_of_the_others(
    store: Store, make: Make, people: list[int]
) -> None:
    project = make(70, plain(probe=0.5, overlap=3))
    import_items(store, project, [new_item(900, part="probe")], Imported())
    for rater in people[:2]:
        answer_all(store, project, rater, lambda n: True, 100)
    with store.read() as connection:
        assert drifts(connection, project, names=False) == []  # one other is no consensus
    answer_all(store, project, people[2], lambda n: n < 26, 100)
    with store.read() as connection:
        found = drifts(connection, project, names=False)
    assert [(one.rater, one.before_right) for one in found if one.at] == [("rater-2", 26)] and len(found) == 3


@pytest.mark.parametrize("known", [True, False])
def test_a_probe_found_wrong_counts_in_none_of_its_rounds(
    store: Store, make: Make, people: list[int], known: bool
) -> None:
    """While one answer is appealed against it alone counts no more, by no consensus either; then nobody's does."""
    project = make(60, plain(probe=0.5, overlap=3))
    import_items(store, project, [new_item(900, part="probe", expected=RIGHT if known else None)], Imported())
    for rater in people[:3]:
        answer_all(store, project, rater, lambda n: True, 20)
    mine = (assignment.c.part == "probe", assignment.c.rater_id == people[0])
    with store.write() as connection:
        assert [one.checks for one in drifts(connection, project, names=False)] == [10, 10, 10]
        third = connection.execute(select(assignment.c.id).where(*mine).order_by(assignment.c.id)).scalars().all()[2]
        make_appeal(connection, third, people[0], "the other is true", 90.0)
        counts = {one.rater: one.checks for one in drifts(connection, project, names=False)}
        assert counts == {"rater-0": 9, "rater-1": 10, "rater-2": 10}
        owner = create_account(connection, "owner", "owner", "owner", "a plain pass phrase", 0.0)
        which = connection.execute(select(appeal.c.id)).scalar_one()
        settle(connection, project.id, which, owner, "wrong", "")
        assert drifts(connection, project, names=False) == []
        rows = connection.execute(select(item.c.open, item.c.expected).where(item.c.part == "probe")).all()
        assert len(rows) == 10 and {row.open for row in rows} == {False} and [row.expected for row in rows] == [{}] * 10
    assert "probe" not in answer_all(store, project, people[0], lambda n: True, 20)
    with store.read() as connection:  # and no round is made of it for nobody
        assert len(connection.execute(select(item.c.id).where(item.c.part == "probe")).all()) == 10
