"""Each criterion by itself: means, differences to the reference model, and what fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heedful.evaluate.judging import Judged
from heedful.evaluate.statistics import Floats, TwoWay, holm
from heedful.evaluate.strata import strata
from heedful.evaluate.winrate import counted_rows
from heedful.records import Prompt

CLEAR = 0.05  # Holm-adjusted p-value below which a change is called clear
Means = Mapping[str, Mapping[str, float]]  # family → criterion → mean
FAMILY_FALL = 0.02
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


def falls(
    differences: Mapping[str, Mapping[str, Any]], model: str, reference: str, decoding: str
) -> list[tuple[str, bool]]:
    """A sentence for each criterion whose mean fell, and whether clearly so: none falls without being named."""
    sentences = []
    for name, row in differences.items():
        if row["mean"] < -ROUNDING:
            noise = f"within noise (p = {row['p_holm']:.2f} among {len(differences)} criteria)"
            surely = "clearly" if row["clear"] else noise
            fall = f"{-row['mean']:.3f} [{-row['high']:.3f}, {-row['low']:.3f}], {surely}"
            sentences.append((f"{model} ({decoding}): {name} falls against {reference} by {fall}", bool(row["clear"])))
    return sentences


def family_falls(rows: Means, before: Means, model: str, reference: str, decoding: str) -> list[str]:
    """A sentence for each family whose mean total fell by more than `FAMILY_FALL`; a family alone is small: hints."""
    return [
        f"{model} ({decoding}): the family '{family}' falls against {reference} from {before[family]['total']:.2f} "
        f"to {row['total']:.2f} in all"
        for family, row in rows.items()
        if row["total"] < before[family]["total"] - FAMILY_FALL
    ]
