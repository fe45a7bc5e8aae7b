"""Each criterion and each family by itself: means, differences to the reference model, and what fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heedful.evaluate.judging import Judged
from heedful.evaluate.statistics import Floats, Interval, TwoWay, holm
from heedful.evaluate.strata import strata
from heedful.evaluate.winrate import counted_rows, resamples_of
from heedful.records import Prompt

CLEAR = 0.05  # Holm-adjusted p-value below which a change is called clear
FAMILY_FALL = 0.02  # a family's mean moves easily: a fall that may be chance is named above this
ROUNDING = 5e-4  # smaller changes of a mean in [0, 1] are none


def criteria_rows(judged: Judged, prompts: Sequence[Prompt], resamples: TwoWay) -> dict[str, Any]:
    """Means with intervals, plain means by family and by group, and the share of each flag.

    All leave the group `nowhere` out, but for `by_group`, which shows it apart.
    """
    rows = counted_rows(prompts)
    counted = [prompts[i] for i in rows]
    means = {name: judged.criterion(name) for name in judged.criteria}
    within = {name: values[rows] for name, values in means.items()}
    return {
        "all": {name: resamples.interval(values).row() for name, values in within.items()},
        "by_family": _means_by("family", within, counted),
        "by_group": _means_by("group", means, prompts),
        "flags": {flag: float(judged.flagged(flag)[rows].mean()) for flag in judged.flags},
    }


def _means_by(key: str, means: Mapping[str, Floats], prompts: Sequence[Prompt]) -> dict[str, dict[str, float]]:
    return {
        value: {"prompts": len(rows)} | {name: float(column[rows].mean()) for name, column in means.items()}
        for value, rows in strata(key, prompts).items()
    }


def difference_rows(
    judged: Judged, reference: Judged, prompts: Sequence[Prompt], resamples: TwoWay
) -> dict[str, dict[str, float | bool]]:
    """Paired differences to the reference model, criterion by criterion; `clear` where Holm's adjusted p < .05."""
    names, rows = judged.criteria, counted_rows(prompts)
    view, before = judged.only(rows), reference.only(rows)
    intervals = [resamples.interval(view.criterion(name) - before.criterion(name)) for name in names]
    adjusted = holm([interval.p() for interval in intervals])
    return {
        name: interval.row() | {"p_holm": p, "clear": p < CLEAR}
        for name, interval, p in zip(names, intervals, adjusted, strict=True)
    }


Families = Mapping[str, tuple[list[int], TwoWay]]  # family → its rows among all prompts, and resamples of them


def families_of(prompts: Sequence[Prompt], rng: np.random.Generator) -> Families:
    """The counted prompts of each family."""
    counted = counted_rows(prompts)
    found = strata("family", [prompts[i] for i in counted])
    rows = {family: [counted[i] for i in members] for family, members in found.items()}
    return {family: (own, resamples_of([prompts[i] for i in own], rng)) for family, own in rows.items()}


def family_difference_rows(judged: Judged, reference: Judged, families: Families) -> dict[str, dict[str, float | bool]]:
    """Paired differences of each family's mean total to the reference model; `clear` as in `difference_rows`."""
    before, after = reference.criterion("total"), judged.criterion("total")
    intervals = {family: resamples.interval((after - before)[own]) for family, (own, resamples) in families.items()}
    adjusted = holm([_p(interval, families[family][1]) for family, interval in intervals.items()])
    return {
        family: interval.row()
        | {"before": float(before[own].mean()), "after": float(after[own].mean()), "p_holm": p, "clear": p < CLEAR}
        for (family, interval), (own, _), p in zip(intervals.items(), families.values(), adjusted, strict=True)
    }


def _p(interval: Interval, resamples: TwoWay) -> float:
    """A family's p-value. Where all its prompts moved alike no resample differs, and the sign test over clusters is
    left: 2 · ½ᴳ."""
    if interval.se or not interval.mean:
        return interval.p()
    return float(2 * 0.5 ** min(way.groups for way in resamples.ways))


@dataclass(frozen=True, slots=True)
class Fall:
    """A mean that fell against the reference, as a sentence; `clear` where that is beyond noise after Holm."""

    sentence: str
    clear: bool
    p: float
    size: float


def falls(differences: Mapping[str, Mapping[str, Any]], model: str, reference: str, decoding: str) -> list[Fall]:
    """Each criterion whose mean fell: none falls without being named."""
    return [
        _fall(row, f"{model} ({decoding}): {name} falls against {reference} by", f"{len(differences)} criteria")
        for name, row in differences.items()
        if row["mean"] < -ROUNDING
    ]


def family_falls(differences: Mapping[str, Mapping[str, Any]], model: str, reference: str, decoding: str) -> list[Fall]:
    """Each family whose mean total fell clearly, or by more than `FAMILY_FALL`."""
    return [
        _fall(
            row,
            f"{model} ({decoding}): the family '{family}' falls against {reference} "
            f"from {row['before']:.2f} to {row['after']:.2f}, by",
            f"{len(differences)} families",
        )
        for family, row in differences.items()
        if row["mean"] < -(ROUNDING if row["clear"] else FAMILY_FALL)
    ]


def _fall(row: Mapping[str, Any], said: str, among: str) -> Fall:
    surely = "clearly" if row["clear"] else f"within noise (p = {row['p_holm']:.2f} among {among})"
    text = f"{said} {-row['mean']:.3f} [{-row['high']:.3f}, {-row['low']:.3f}], {surely}"
    return Fall(text, bool(row["clear"]), row["p_holm"], -row["mean"])
