"""How well ratings by criterion are foretold on answers never trained on. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from heedful.records import Rating


def rating_report(ratings: Sequence[Rating], said: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """For each criterion, over the answers that somebody rated by it: what the model's number explains.

    `explained` is 1 − Σ(rating − said)²/Σ(rating − mean)², 0 for a model that always says the mean; `rank_correlation`
    is Spearman's, and `length_correlation` that of the rating with the answer's words, which a model could live off.
    """
    report = {}
    for name in dict.fromkeys(name for rating in ratings for name in rating.ratings):
        rows = [(r.ratings[name], s[name], len(r.completion.split())) for r, s in zip(ratings, said, strict=True)
                if name in r.ratings and name in s]  # fmt: skip
        if rows:
            report[name] = _figures(*(np.array(column, dtype=float) for column in zip(*rows, strict=True)))
    return report


def _figures(given: Any, said: Any, words: Any) -> dict[str, Any]:
    variance = float(((given - given.mean()) ** 2).sum())
    return {
        "answers": len(given),
        "explained": round(1 - float(((given - said) ** 2).sum()) / variance, 4) if variance else None,
        "absolute_error": round(float(np.abs(given - said).mean()), 4),
        "rank_correlation": _rank_correlation(given, said),
        "length_correlation": _rank_correlation(given, words),
    }


def _rank_correlation(a: Any, b: Any) -> float | None:
    """Spearman's; None where one of the two doesn't vary."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(spearmanr(a, b).statistic), 4)


def sentence(report: Mapping[str, Any]) -> str:
    """The report in one line for the terminal."""
    if not report:
        return "no held-out ratings to report on"
    parts = [f"{name} {figures['rank_correlation']}" for name, figures in report.items()]
    return f"rank correlation with held-out ratings: {', '.join(parts)}"
