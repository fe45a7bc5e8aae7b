"""Dawid-Skene: what is true of each item and how each rater errs, learnt together (Dawid and Skene 1979).

    z_i ~ π,   P(rater r says l | z_i = t) = Θ_r[t, l],   raters independent given z

Fitted by EM. With pseudo-counts it is the posterior mode, which few votes a rater ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
FLOOR = float(np.finfo(np.float64).eps)  # what never happened is not quite impossible


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """I items, R raters, C classes. `objective` is the log posterior after each step; it never falls."""

    posterior: Floats  # (I, C)
    confusion: Floats  # (R, C, C): [rater, true class, what was said]
    prevalence: Floats  # (C,)
    objective: tuple[float, ...]

    @property
    def accuracy(self) -> Floats:
        """How often each rater is right, over the classes as they occur. (R,)"""
        return np.asarray(np.einsum("t,rtt->r", self.prevalence, self.confusion))


def pseudo_counts(classes: int, accuracy: float = 0.7, votes: float = 3.0) -> Floats:
    """What a rater is taken for before the first vote: `votes` votes a class, of which `accuracy` are right. (C, C)

    Where it is plain that most raters do better than chance, any accuracy above 1/C keeps the classes from being
    swapped; the more votes a rater has, the less it says.
    """
    wrong = (1 - accuracy) / (classes - 1)
    return votes * np.where(np.eye(classes, dtype=bool), accuracy, wrong)


def dawid_skene(
    item: ArrayLike,
    rater: ArrayLike,
    label: ArrayLike,
    classes: int,
    *,
    items: int,
    raters: int,
    weight: ArrayLike | None = None,
    prior: ArrayLike = 0.0,
    gold: ArrayLike | None = None,
    steps: int = 500,
    tolerance: float = 1e-8,
) -> DawidSkene:
    """EM from the shares of votes until the objective gains less than `tolerance` a vote, `steps` times at most.

    item, rater, label: (V,). weight: (V,) what a vote counts, 1 by default. prior: (C, C) pseudo-counts of each rater.
    gold: (I,) the known class, -1 where it isn't known; known items teach what the raters are worth.
    """
    i, r, y = (np.asarray(column, dtype=np.int64) for column in (item, rater, label))
    w = np.ones(len(i)) if weight is None else np.asarray(weight, dtype=np.float64)
    known = np.full(items, -1, dtype=np.int64) if gold is None else np.asarray(gold, dtype=np.int64)
    counts = np.broadcast_to(np.asarray(prior, dtype=np.float64), (classes, classes))
    posterior = _clamped(_shares(i, y, w, items, classes), known)
    prevalence, confusion = _maximise(i, r, y, w, posterior, raters, counts)
    objective: list[float] = []
    for _ in range(steps):
        posterior, likelihood = _expect(i, r, y, w, items, prevalence, confusion, known)
        objective.append(likelihood + float((counts * np.log(confusion)).sum()))
        prevalence, confusion = _maximise(i, r, y, w, posterior, raters, counts)
        if len(objective) > 1 and objective[-1] - objective[-2] < tolerance * max(1, len(i)):
            break
    return DawidSkene(posterior, confusion, prevalence, tuple(objective))


def _shares(i: ArrayLike, y: NDArray[np.int64], w: Floats, items: int, classes: int) -> Floats:
    """The share of votes for each class; even where nobody voted."""
    table = np.bincount(np.asarray(i) * classes + y, w, minlength=items * classes).reshape(items, classes)
    total = table.sum(1, keepdims=True)
    return np.where(total > 0, table / np.where(total > 0, total, 1.0), 1.0 / classes)


def _clamped(posterior: Floats, known: NDArray[np.int64]) -> Floats:
    rows = np.flatnonzero(known >= 0)
    posterior[rows] = 0.0
    posterior[rows, known[rows]] = 1.0
    return posterior


def _maximise(
    i: NDArray[np.int64],
    r: NDArray[np.int64],
    y: NDArray[np.int64],
    w: Floats,
    posterior: Floats,
    raters: int,
    prior: Floats,
) -> tuple[Floats, Floats]:
    """M-step: shares of what is expected to be true, and of what each rater says then."""
    classes = posterior.shape[1]
    voted = np.bincount(i, minlength=len(posterior)) > 0
    prevalence = np.maximum(posterior[voted].mean(0), FLOOR)
    counts = np.stack(
        [np.bincount(r * classes + y, w * posterior[i, t], minlength=raters * classes) for t in range(classes)]
    )  # (true, rater·said)
    confusion = np.maximum(counts.reshape(classes, raters, classes).transpose(1, 0, 2) + prior, FLOOR)
    return prevalence, confusion / confusion.sum(2, keepdims=True)


def _expect(
    i: NDArray[np.int64],
    r: NDArray[np.int64],
    y: NDArray[np.int64],
    w: Floats,
    items: int,
    prevalence: Floats,
    confusion: Floats,
    known: NDArray[np.int64],
) -> tuple[Floats, float]:
    """E-step: what is true of each item given the votes on it, and the log likelihood of all votes."""
    said = w[:, None] * np.log(confusion)[r, :, y]  # (V, C): log Θ_r[t, l] for each t
    joint = np.stack([np.bincount(i, column, minlength=items) for column in said.T], axis=1) + np.log(prevalence)
    rows = np.flatnonzero(known >= 0)
    joint[rows] = np.where(np.arange(joint.shape[1]) == known[rows, None], joint[rows], -np.inf)
    evidence = logsumexp(joint, axis=1)
    voted = np.bincount(i, minlength=items) > 0
    return np.exp(joint - evidence[:, None]), float(evidence[voted].sum())
