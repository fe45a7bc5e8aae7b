"""What an ensemble of reward models is worth on held-out judgements: each member, and the ways to put them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful.evaluate.reward_report import agreement, judged_pairs
from heedful.records import Ranking
from heedful.rewards.ensemble import COMBINATIONS, combined

PENALTY = 0.5  # λ of the variance penalty that the figures are given for


def ensemble_figures(rankings: Sequence[Ranking], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Accuracies on held-out rankings; `scores` has one row a member, each on its own scale, one column an answer.

    `agreement`: how often two members order a pair alike; `spread`: mean standard deviation over members of the gap in
    a pair, in standard deviations of SFT samples where the members have a scale.
    """
    pairs = judged_pairs(rankings)
    values = np.asarray(scores, dtype=float)  # (M, B)
    if not len(pairs.target):
        return {}

    def accuracy(one: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        return round(float(agreement(one[pairs.first] - one[pairs.second], pairs.target).mean()), 4)

    gaps = values[:, pairs.first] - values[:, pairs.second]
    return {
        "members": [accuracy(member) for member in values],
        "combined": {way: accuracy(combined(values, way, PENALTY)) for way in COMBINATIONS},
        "agreement": round(float(_same_order(gaps)), 4),
        "spread": round(float(gaps.std(0).mean()), 4),
    }


def _same_order(gaps: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """How often two members order a pair alike, over all pairs of members. (M, P) -> mean"""
    signs = np.sign(gaps)
    alike = [(signs[i] == signs[j]).mean() for i in range(len(signs)) for j in range(i)]
    return float(np.mean(alike))
