"""Whether a rater has begun to judge otherwise: an alarm over answers to items whose answer is known.

Asked are the project's probes (part `probe`: items that each rater gets again and again), and where it has none the
hidden checks (part `gold`). A probe without a right answer of its own is measured by what most of the others say.

The alarm is the CUSUM of a proportion (Page 1954; Reynolds and Stoumbos 1999): with X_t = 1 for a miss,

    C_t = max(0, C_{t−1} + X_t − γ),   γ = ln((1−p₀)/(1−p₁)) / ln(p₁(1−p₀) / (p₀(1−p₁))),   alarm when C_t ≥ h

which is the likelihood ratio of "misses with p₁" to "misses with p₀", restarted whenever p₀ explains things better.
γ is rounded to a fraction a/b, so that C moves on a lattice and the average number of answers to an alarm (the average
run length) follows exactly from a Markov chain (Brook and Evans 1972). h is the lowest that a steady rater reaches once
in STEADY answers. p₀ comes from the rater's own first answers, drawn towards everyone's; as an estimate that is too low
would give many false alarms, its 80 % quantile is taken, so that the run length holds for four of five raters
(Gandy and Kvaløy 2013).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import log
from typing import Any

import numpy as np
from sqlalchemy import Connection, exists, select, true

from heedful.feedback.beta import beta_quantile
from heedful.feedback.projects import Project
from heedful.feedback.sheet import read_answered
from heedful.feedback.submit import label_of
from heedful.feedback.tables import account, appeal, assignment, item, judgement, rater

FIRST = 20  # answers from which p₀ is learned; the alarm begins behind them
PULL = 10.0  # answers' worth by which p₀ is drawn towards everyone's share of misses
SURE = 0.8  # quantile of p₀
ODDS = 3.0  # by how much the odds of a miss have grown at p₁
STEADY = 1000.0  # answers between two false alarms of a steady rater, at least
DENOMINATOR = 30  # of γ
LOWEST, HIGHEST = 0.02, 0.6  # p₀ is kept between these
FEWEST_OTHERS = 2  # raters whose answers make a consensus


@dataclass(frozen=True, slots=True)
class Alarm:
    """The chart of a rater: a miss moves C up by `up`, a hit down by `down`, an alarm is at `height`.

    steady, drifted: answers to an alarm on average, at p₀ and at p₁.
    """

    p0: float
    p1: float
    up: int
    down: int
    height: int
    steady: float
    drifted: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How one rater's answers to checks went: before the change that the alarm names, and since.

    Where there was no alarm, all answers lie `before`. The times are those of the first answer since the change and of
    the answer that set the alarm off; 0: there was none. `after` ends where the rater judged as before again.
    """

    rater: str
    name: str
    checks: int
    before: int
    before_right: int
    after: int
    after_right: int
    since: float
    at: float
    steady: float  # answers to an alarm, on average, of a rater who judges as before
    drifted: float  # and of one whose odds of a miss have become three times as high
    over: bool  # the rater has come to judge as before again
    sentence: str


def average_run_length(p: float, up: int, down: int, height: int) -> float:
    """Answers to an alarm, on average, where each is a miss with probability p: (I − Q)·L = 1, from C = 0."""
    kept = np.zeros((height, height))  # Q: from each C below the alarm to each other
    states = np.arange(height)
    kept[states, np.maximum(0, states - down)] += 1 - p
    below = states[states + up < height]
    kept[below, below + up] += p
    return float(np.linalg.solve(np.eye(height) - kept, np.ones(height))[0])


def alarm_for(p0: float) -> Alarm:
    """The chart that finds odds of a miss three times as high soonest, and errs once in STEADY answers or less."""
    return _alarm(round(min(max(p0, LOWEST), HIGHEST), 2))


@lru_cache(maxsize=64)
def _alarm(p0: float) -> Alarm:
    odds = ODDS * p0 / (1 - p0)
    p1 = odds / (1 + odds)
    rate = Fraction(log((1 - p0) / (1 - p1)) / log(ODDS)).limit_denominator(DENOMINATOR)
    down, up = rate.numerator, rate.denominator - rate.numerator
    height = up
    while (steady := average_run_length(p0, up, down, height)) < STEADY:
        height += 1
    return Alarm(p0, p1, up, down, height, steady, average_run_length(p1, up, down, height))


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm, by places in a series: the first answer since the change, the one that set the alarm off, and the one
    by which C was back at 0, so that the rater judged as before again (the series' length: not yet)."""

    since: int
    at: int
    until: int


def last_change(missed: Sequence[bool], chart: Alarm) -> Change | None:
    """The newest alarm of a series. The change lies behind the last answer at which C was 0; C climbs no higher than
    the alarm, so that a mend is seen."""
    level, since, found = 0, 0, None
    for number, miss in enumerate(missed):
        level = min(chart.height, max(0, level + (chart.up if miss else -chart.down)))
        if level == 0:
            if found and found.until == len(missed):
                found = replace(found, until=number)
            since = number + 1
        elif level == chart.height and (found is None or found.since != since):
            found = Change(since, number, len(missed))
    return found


def first_share(missed: Sequence[bool], everyone: float) -> float:
    """p₀ from a rater's first answers: the 80 % quantile of Beta(misses + PULL·m, hits + PULL·(1−m))."""
    misses = sum(missed[:FIRST])
    hits = len(missed[:FIRST]) - misses
    return beta_quantile(SURE, misses + PULL * everyone, hits + PULL * (1 - everyone))


def drifts(connection: Connection, of: Project, *, names: bool) -> list[Drift]:
    """Every person who has answered checks, alarms first. names: whether account names stand beside pseudonyms."""
    series = _series(connection, of)
    pool = [not right for answers in series.values() for _, right in answers[:FIRST]]
    everyone = (sum(pool) + 1) / (len(pool) + 2)
    who = {row.id: row for row in connection.execute(_people(list(series)))}
    found = [
        _drift(who[key].name, (who[key].person or "") if names else "", answers, everyone)
        for key, answers in series.items()
    ]
    return sorted(found, key=lambda one: (not one.at, one.over, one.rater))


def _drift(rater_name: str, name: str, answers: Sequence[tuple[float, bool]], everyone: float) -> Drift:
    right = [hit for _, hit in answers]
    chart = alarm_for(first_share([not hit for hit in right], everyone))
    change = last_change([not hit for hit in right[FIRST:]], chart)
    cut = change.since + FIRST if change else len(right)
    before, after = right[:cut], right[cut : change.until + FIRST if change else None]
    return Drift(
        rater=rater_name,
        name=name,
        checks=len(right),
        before=len(before),
        before_right=sum(before),
        after=len(after),
        after_right=sum(after),
        since=answers[cut][0] if change else 0.0,
        at=answers[change.at + FIRST][0] if change else 0.0,
        steady=chart.steady,
        drifted=chart.drifted,
        over=change is not None and change.until + FIRST < len(right),
        sentence=_sentence(before, after, len(right)),
    )


def _sentence(before: Sequence[bool], after: Sequence[bool], checks: int) -> str:
    then, there = len(before) + 1, len(before) + len(after)
    counts = f"{sum(after)} of {len(after)} right, where it was {sum(before)} of {len(before)}"
    if after and there < checks:
        return f"judged otherwise from check {then} to {there}: {counts}; since then as before"
    if after:
        return f"judges otherwise since check {then}: {counts}"
    if checks <= FIRST:
        return f"not enough data: {checks} checks, and a statement needs more than {FIRST}"
    return f"steady: {sum(before)} of {checks} checks right"


def _people(keys: Sequence[int]) -> Any:
    columns = (rater.c.id, rater.c.name, account.c.name.label("person"))
    return select(*columns).outerjoin(account, account.c.id == rater.c.account_id).where(rater.c.id.in_(keys))


def _series(connection: Connection, of: Project) -> Mapping[int, list[tuple[float, bool]]]:
    """Of each person: when each check was answered and whether rightly, oldest first.

    Not those that were found wrong, which are closed, nor those that their rater has appealed against.
    """
    probed = connection.execute(select(exists().where(item.c.project_id == of.id, item.c.part == "probe"))).scalar_one()
    part = "probe" if probed else "gold"
    appealed = exists().where(appeal.c.assignment_id == assignment.c.id, appeal.c.outcome != "stands")
    query = (
        select(assignment.c.rater_id, assignment.c.closed_at, assignment.c.agrees, assignment.c.id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .join(item, item.c.id == assignment.c.item_id)
        .where(assignment.c.project_id == of.id, assignment.c.state == "done", assignment.c.part == part)
        .where(rater.c.kind == "human", item.c.open == true(), ~appealed)
        .order_by(assignment.c.closed_at, assignment.c.id)
    )
    rows = connection.execute(query).all()
    by_others = _by_others(connection, [row.id for row in rows if row.agrees < 0])
    found: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        right = by_others.get(row.id) if row.agrees < 0 else row.agrees == 1
        if right is not None:
            found[row.rater_id].append((row.closed_at, right))
    return found


def _by_others(connection: Connection, assignments: Sequence[int]) -> Mapping[int, bool]:
    """Whether each answer is what most of the other raters said of the same answers, each with one voice."""
    said: dict[tuple[int, frozenset[int]], list[tuple[int, int, str]]] = defaultdict(list)
    for start in range(0, len(assignments), 500):
        query = (
            select(assignment.c.id, assignment.c.rater_id, judgement.c.value, item.c.prompt_id, item.c.completions)
            .join(item, item.c.id == assignment.c.item_id)
            .join(judgement, judgement.c.id == assignment.c.judgement_id)
            .where(assignment.c.id.in_(assignments[start : start + 500]))
        )
        for row in connection.execute(query):
            asked = (row.prompt_id, frozenset(row.completions))
            said[asked].append((row.id, row.rater_id, label_of(read_answered(row.value))))
    found = {}
    for answers in said.values():
        own: dict[int, Counter[str]] = defaultdict(Counter)
        for _, who, label in answers:
            own[who][label] += 1
        voice = {who: labels.most_common(1)[0][0] for who, labels in own.items()}
        for key, who, label in answers:
            others = Counter(one for other, one in voice.items() if other != who).most_common(2)
            clear = len(others) == 1 or (len(others) == 2 and others[0][1] > others[1][1])
            if clear and len(voice) - 1 >= FEWEST_OTHERS:
                found[key] = label == others[0][0]
    return found
