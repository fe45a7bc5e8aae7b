"""Scores of answers from preferences, raters taken alike: Bradley-Terry with ties (Davidson) and Plackett-Luce.

Both log likelihoods are concave; a small ridge makes the scores finite where one answer always wins and picks their
origin. Newton's method finds the one maximum, and its curvature the standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Curve = Callable[[Floats], tuple[float, Floats, Floats]]  # parameters -> value, gradient, Hessian
NO_TIES = -40.0  # log ν where nobody tied: e⁻⁴⁰ is no probability worth a name
RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Scores:
    """score, se: (A,); a difference of scores is the log odds of the preference. log_tie: Davidson's log ν."""

    score: Floats
    se: Floats
    log_tie: float = NO_TIES


def davidson(gap: Floats, log_tie: float) -> Floats:
    """P(first, second, tie) from the gap of two scores (Davidson 1970): ∝ (e^{d/2}, e^{−d/2}, ν). (…) -> (…, 3)"""
    logits = np.stack([gap / 2, -gap / 2, np.full_like(gap, log_tie)], axis=-1)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def bradley_terry(
    first: ArrayLike, second: ArrayLike, share: ArrayLike, answers: int, *, ridge: float = RIDGE
) -> Scores:
    """Scores of `answers` answers. first, second: (I,) the pairs; share: (I, 3) votes for first, second, tie.

    ridge: minus the log of the prior is ridge/2 · Σ s².
    """
    i, j = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    votes = np.asarray(share, dtype=np.float64).reshape(-1, 3)
    n, ties = votes.sum(1), bool(votes[:, 2].sum() > 0)

    def curve(x: Floats) -> tuple[float, Floats, Floats]:
        s, log_tie = x[:answers], float(x[answers]) if ties else NO_TIES
        p = davidson(s[i] - s[j], log_tie)
        value = -float((votes * np.log(np.maximum(p, 1e-300))).sum()) + ridge / 2 * float(x @ x)
        slope = (votes[:, 0] - votes[:, 1] - n * (p[:, 0] - p[:, 1])) / 2  # of each pair's gap
        grad = ridge * x
        np.subtract.at(grad, i, slope)
        np.add.at(grad, j, slope)
        hess = ridge * np.eye(len(x))
        bend = n * (p[:, 0] + p[:, 1] - (p[:, 0] - p[:, 1]) ** 2) / 4  # variance of (1[first] − 1[second]) / 2
        for a, b, sign in ((i, i, 1.0), (j, j, 1.0), (i, j, -1.0), (j, i, -1.0)):
            np.add.at(hess, (a, b), sign * bend)
        if ties:
            grad[-1] -= float((votes[:, 2] - n * p[:, 2]).sum())
            hess[-1, -1] += float((n * p[:, 2] * (1 - p[:, 2])).sum())
            cross = -n * p[:, 2] * (p[:, 0] - p[:, 1]) / 2
            for a, sign in ((i, 1.0), (j, -1.0)):
                np.add.at(hess[-1], a, sign * cross)
                np.add.at(hess[:, -1], a, sign * cross)
        return value, grad, hess

    x, hess = _newton(curve, np.zeros(answers + ties))
    return Scores(x[:answers], _errors(hess, answers), float(x[answers]) if ties else NO_TIES)


def plackett_luce(rankings: Sequence[tuple[ArrayLike, ArrayLike]], answers: int, *, ridge: float = RIDGE) -> Scores:
    """Scores from rankings, each (answers, ranks): P = Π_k e^{s_k} / Σ_{l ranked no better than k} e^{s_l} (Plackett
    1975).

    Answers of one rank share the sum that holds them all (Breslow 1974), which for a ranking without ties changes
    nothing; for two answers without a tie it is Bradley-Terry.
    """
    stages: list[NDArray[np.int64]] = []
    wins = np.zeros(answers)
    for places, ranks in rankings:
        place, rank = np.asarray(places, dtype=np.int64), np.asarray(ranks, dtype=np.int64)
        for k in np.flatnonzero(rank < rank.max(initial=0)):  # those at the end win nothing
            stages.append(place[rank >= rank[k]])
            wins[place[k]] += 1

    def curve(s: Floats) -> tuple[float, Floats, Floats]:
        value = -float(wins @ s) + ridge / 2 * float(s @ s)
        grad, hess = ridge * s - wins, ridge * np.eye(answers)
        for left in stages:
            top = float(s[left].max())
            odds = np.exp(s[left] - top)
            value += top + float(np.log(odds.sum()))
            p = odds / odds.sum()
            grad[left] += p
            hess[np.ix_(left, left)] += np.diag(p) - np.outer(p, p)
        return value, grad, hess

    s, hess = _newton(curve, np.zeros(answers))
    return Scores(s, _errors(hess, answers))


def _errors(hess: Floats, answers: int) -> Floats:
    """Standard errors of scores about their mean: with the ridge alone the common origin would look uncertain."""
    centre = np.eye(answers) - 1.0 / answers
    covariance = np.linalg.pinv(hess, hermitian=True)[:answers, :answers]
    return np.sqrt(np.maximum(np.diag(centre @ covariance @ centre), 0.0))


def _newton(curve: Curve, x: Floats, steps: int = 200) -> tuple[Floats, Floats]:
    """The minimum of a convex function and its curvature there; steps are halved until the value falls."""
    value, grad, hess = curve(x)
    for _ in range(steps):
        step = np.linalg.solve(hess, grad)
        size, slack = 1.0, 1e-13 * (1.0 + abs(value))  # what rounding does to the value near the minimum
        while (found := curve(x - size * step))[0] > value + slack and size > 1e-10:
            size /= 2
        steep = np.abs(grad).max(initial=0.0)
        if steep < 1e-9 and np.abs(found[1]).max() >= steep / 2:
            break  # rounding is all that is left
        x = x - size * step
        value, grad, hess = found
    return x, hess
