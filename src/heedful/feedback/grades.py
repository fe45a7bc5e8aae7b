"""How far raters agree on single answers: ratings by criterion, flags, labels of steps; and all of it over time.

A flag that few raise makes κ and α swing on a handful of answers, while raw agreement is high whatever anyone does. So
a flag has four figures side by side: prevalence, raw agreement, positive agreement, and Gwet's AC1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heedful.evaluate.statistics import Interval
from heedful.feedback.agreement import (
    Statistic,
    cohen_kappa,
    count_table,
    gwet_ac1,
    interval_alpha,
    krippendorff_alpha,
    positive_agreement,
    prevalence,
    rater_pairs,
    raw_agreement,
)
from heedful.feedback.judgements import DECISION, Judgement
from heedful.feedback.votes import Votes
from heedful.records import prompt_id

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["comparison", "rating", "flag", "step"]
STEPS = ("wrong", "neutral", "right")  # an ordinal scale
FEWEST = 10  # units, or pairs of judgements of one period, below which a figure is not given
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Grade:
    """One figure about one criterion, one flag, or the steps; n units that two raters judged (of a prevalence: all).

    The value is NaN below `FEWEST` units.
    """

    kind: Kind
    key: str
    name: str
    value: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Period:
    """Agreement within one quarter of the judgements, in order of time; n pairs of judgements, dated by the later."""

    kind: Kind
    key: str
    quarter: int
    since: float
    until: float
    value: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Said:
    """V values that raters gave to units: a rated answer, an answer that may be flagged, a step."""

    kind: Kind
    key: str
    unit: Ints  # (V,)
    rater: Ints  # (V,)
    value: Floats  # (V,)
    at: Floats  # (V,) seconds since 1970; 0: not known
    cluster: Ints  # (U,) the prompt of each unit, which is drawn as a whole


def grades_of(judgements: Sequence[Judgement]) -> list[Said]:
    """Everything that was said of single answers, criterion by criterion and flag by flag.

    Of several values by one rater for one unit the last one counts; who isn't named is a rater of each judgement's own.
    A flag counts as not raised where flags were asked and it wasn't among them.
    """
    flags = sorted({key for judgement in judgements for keys in judgement.value.get("flags", ()) for key in keys})
    rows: dict[tuple[Kind, str], dict[tuple[tuple[str, str, int], str], tuple[float, float]]] = {}
    for number, judgement in enumerate(judgements):
        if judgement.part == DECISION or judgement.value.get("verdict") == "cant_judge":
            continue
        prompt = prompt_id(judgement.prompt.messages)
        rater = f"{judgement.rater_kind} {judgement.rater}" if judgement.rater else f"(unnamed {number})"
        for kind, key, text, step, value in _values(judgement, flags):
            rows.setdefault((kind, key), {})[(prompt, text, step), rater] = (value, judgement.at)
    order: tuple[Kind, ...] = ("rating", "flag", "step")
    return [_said(kind, key, rows[kind, key]) for kind, key in sorted(rows, key=lambda k: (order.index(k[0]), k[1]))]


def _values(judgement: Judgement, flags: Sequence[str]) -> Iterator[tuple[Kind, str, str, int, float]]:
    """(kind, key, answer, step, value)"""
    said = judgement.value
    for text, ratings in zip(judgement.completions, said.get("ratings", ()), strict=False):
        for key, value in ratings.items():
            yield "rating", key, text, 0, float(value)
    if "flags" in said:
        raised = [*said["flags"], *[()] * len(judgement.completions)]
        for text, keys in zip(judgement.completions, raised, strict=False):
            for key in flags:
                yield "flag", key, text, 0, float(key in keys)
    for step, label in enumerate(said.get("steps", ())):
        if label is not None:
            yield "step", "steps", judgement.completions[0], step, float(STEPS.index(label))


def _said(kind: Kind, key: str, rows: dict[tuple[tuple[str, str, int], str], tuple[float, float]]) -> Said:
    units: dict[tuple[str, str, int], int] = {}
    raters: dict[str, int] = {}
    prompts: dict[str, int] = {}
    for unit, rater in rows:
        units.setdefault(unit, len(units))
        raters.setdefault(rater, len(raters))
        prompts.setdefault(unit[0], len(prompts))
    return Said(
        kind,
        key,
        np.array([units[unit] for unit, _ in rows]),
        np.array([raters[rater] for _, rater in rows]),
        np.array([value for value, _ in rows.values()]),
        np.array([at for _, at in rows.values()]),
        np.array([prompts[prompt] for prompt, _, _ in units]),
    )


def grade_figures(said: Said, rng: np.random.Generator, draws: int) -> list[Grade]:
    """What is worth knowing about one criterion, one flag, or the steps."""
    scale, place = np.unique(said.value, return_inverse=True)
    table = count_table(said.unit, place, len(scale), len(said.cluster))
    several = int((table.sum(1) > 1).sum())
    found: list[tuple[str, Statistic, int]]
    match said.kind:
        case "rating":
            found = [
                ("α, interval", interval_alpha(said.unit, said.value, len(said.cluster)), several),
                ("α, ordinal", krippendorff_alpha(table, "ordinal"), several),
                ("raw agreement", raw_agreement(table), several),
            ]
            found += [("weighted κ", _two(said, place, len(scale)), several)] if said.rater.max() == 1 else []
        case "flag":
            flagged = count_table(said.unit, said.value, 2, len(said.cluster))
            found = [
                ("prevalence", prevalence(flagged), len(flagged)),
                ("raw agreement", raw_agreement(flagged), several),
                ("positive agreement", positive_agreement(flagged), several),
                ("Gwet's AC1", gwet_ac1(flagged), several),
            ]
        case _:
            found = [
                ("α, nominal", krippendorff_alpha(table), several),
                ("α, ordinal", krippendorff_alpha(table, "ordinal"), several),
                ("raw agreement", raw_agreement(table), several),
            ]
    return [
        Grade(said.kind, said.key, name, _given(statistic, said.cluster, n, rng, draws), n)
        for name, statistic, n in found
    ]


def _two(said: Said, place: Ints, scale: int) -> Statistic:
    """Cohen's κ with quadratic weights, of the only two raters; units that both rated keep their rows."""
    one, two = rater_pairs(said.unit, said.rater)
    both = cohen_kappa(place[one], place[two], scale, "quadratic")
    parts = np.zeros((len(said.cluster), scale * scale))
    parts[said.unit[one]] = both.parts
    return Statistic(parts, both.of)


def _given(statistic: Statistic, cluster: Ints, n: int, rng: np.random.Generator, draws: int) -> Interval:
    nothing = float("nan")
    return statistic.interval(cluster, rng, draws) if n >= FEWEST else Interval(nothing, nothing, nothing, nothing)


def compared(votes: Votes) -> Said:
    """Votes on pairs of answers, in the same shape."""
    return Said("comparison", "pairs", votes.item, votes.rater, votes.choice.astype(np.float64), votes.at, votes.group)


def over_time(said: Said, rng: np.random.Generator, draws: int) -> list[Period]:
    """Agreement in each quarter of the judgements whose time is known: α with the chance of the whole,

        1 − (mean δ of two judgements of one unit) / (mean δ of any two judgements),

    δ = (v − v')² for ratings and steps, δ = [v ≠ v'] else. Chance is that of all quarters, so that a quarter with easy
    answers differs by what its raters said alone. Nothing where too few units have two judgements to part them.
    """
    known = said.at > 0
    unit, value, at = said.unit[known], said.value[known], said.at[known]
    one, two = rater_pairs(unit, said.rater[known])
    if len(one) < QUARTERS * FEWEST:
        return []
    paired = value[np.unique(np.concatenate([one, two]))]
    squares = said.kind in ("rating", "step")
    chance = 2 * paired.var(ddof=1) if squares else _unlike(paired)
    if chance <= 0:
        return []
    apart = (value[one] - value[two]) ** 2 if squares else (value[one] != value[two]).astype(np.float64)
    edges = np.quantile(at, np.arange(QUARTERS + 1) / QUARTERS)
    quarter = np.clip(np.searchsorted(edges, np.maximum(at[one], at[two]), side="right") - 1, 0, QUARTERS - 1)
    cluster = said.cluster[unit[one]]
    found = []
    for number, since, until in zip(count(), edges[:-1], edges[1:], strict=False):
        here = quarter == number
        parts = np.stack([apart[here], np.ones(int(here.sum()))], axis=1)
        statistic = Statistic(parts, lambda s: 1 - s[..., 0] / s[..., 1] / chance)
        value_here = _given(statistic, cluster[here], len(parts), rng, draws)
        found.append(Period(said.kind, said.key, number + 1, float(since), float(until), value_here, len(parts)))
    return found


def _unlike(value: Floats) -> float:
    """The chance that two different ones of these values differ."""
    n = np.unique(value, return_counts=True)[1]
    return float(1 - (n * (n - 1)).sum() / (len(value) * (len(value) - 1)))
