"""How well right is told from wrong, of whole answers and of steps, on what was never trained on. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from heedful.evaluate.reward_report import calibration


def outcome_report(log_odds: Sequence[float], labels: Sequence[float]) -> dict[str, Any]:
    """Accuracy beside the commoner label's share, the chance to rank a right answer above a wrong one, calibration."""
    z, y = np.asarray(log_odds, dtype=float), np.asarray(labels, dtype=float)
    if not len(z):
        return {"labels": 0}
    right = y > 0.5
    return {
        "labels": len(z),
        "accuracy": round(float(((z > 0) == right).mean()), 4),
        "commoner": round(max(float(right.mean()), 1 - float(right.mean())), 4),
        "area": area(z, right),
        "calibration": calibration(z, y),
    }


def area(values: Any, right: Any) -> float | None:
    """Area under the ROC curve: the chance that a right one has the higher value; None where all are of one kind."""
    count, wrong = int(right.sum()), int((~right).sum())
    if not count or not wrong:
        return None
    return round(float((rankdata(values)[right].sum() - count * (count + 1) / 2) / (count * wrong)), 4)


def first_error(chances: Sequence[float]) -> int:
    """The place of the first step that is likelier wrong than right, −1 where there is none."""
    return next((place for place, chance in enumerate(chances) if chance < 0.5), -1)


def step_report(chances: Sequence[Sequence[float]], labels: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Figures on steps, and on where answers go wrong first (ProcessBench, Zheng 2024).

    `f1` is the harmonic mean of `on_wrong`, the share of answers with an error whose first one is found, and
    `on_right`, the share of answers without any that are let pass.
    """
    said = np.array([c for row in chances for c in row])
    report = outcome_report(
        np.log(said.clip(1e-9, 1)) - np.log((1 - said).clip(1e-9, 1)), [y for r in labels for y in r]
    )
    report = {"answers": len(labels), "steps": report.pop("labels"), **report}
    found = [(first_error(c), first_error(y)) for c, y in zip(chances, labels, strict=True)]
    wrong = [said == true for said, true in found if true >= 0]
    right = [said == true for said, true in found if true < 0]
    on_wrong, on_right = _share(wrong), _share(right)
    report |= {"on_wrong": on_wrong, "on_right": on_right}
    if on_wrong is not None and on_right is not None:
        report["f1"] = round(2 * on_wrong * on_right / (on_wrong + on_right), 4) if on_wrong + on_right else 0.0
    return report


def _share(found: Sequence[bool]) -> float | None:
    return round(sum(found) / len(found), 4) if found else None


def sentence(report: Mapping[str, Any]) -> str:
    """The report in one line for the terminal."""
    what = "steps" if "steps" in report else "labels"
    if not report.get(what):
        return "no held-out labels to report on"
    text = (
        f"{report['accuracy']:.1%} of {report[what]} held-out {what} right, the commoner label {report['commoner']:.1%}"
    )
    return text + (f", first errors found with F1 {report['f1']:.2f}" if "f1" in report else "")
