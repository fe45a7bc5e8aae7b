"""How far raters agree: raw agreement, Cohen's, weighted and Fleiss' κ, Krippendorff's α, Gwet's AC1, Kendall's τ-b.

Each of them is a function of sums over units (what was rated). So one bootstrap that redraws whole clusters of units
serves them all: it redraws rows of sums, never votes, and every statistic stands beside its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heedful.evaluate.statistics import DRAWS, TAILS, Interval, Resamples

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = Literal["none", "linear", "quadratic"]
BLOCK = 100  # resamples held at once


@dataclass(frozen=True, slots=True)
class Statistic:
    """parts: (U, K), what each unit adds to the sums. of: sums (…, K) -> the value (…); NaN where nothing varies."""

    parts: Floats
    of: Callable[[Floats], Floats]

    def estimate(self) -> float:
        return float(self._value(self.parts.sum(0)))

    def interval(self, clusters: ArrayLike, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
        """The statistic with its 95 % percentile interval, whole clusters of units redrawn. clusters: (U,)

        Resamples in which nothing varies have no value and are left out.
        """
        labels = np.unique(np.asarray(clusters), return_inverse=True)[1]
        groups = int(labels.max()) + 1 if len(labels) else 0
        estimate = self.estimate()
        if groups < 2 or not np.isfinite(estimate):
            return Interval(estimate, float("nan"), float("nan"), float("nan"))
        sums = np.stack([np.bincount(labels, column, minlength=groups) for column in self.parts.T], axis=1)
        blocks = [BLOCK] * (draws // BLOCK) + ([draws % BLOCK] if draws % BLOCK else [])
        cloud = np.concatenate([self._value(Resamples(np.arange(groups), rng, n).counts @ sums) for n in blocks])
        cloud = cloud[np.isfinite(cloud)]
        low, high = np.quantile(cloud, TAILS) if len(cloud) else (np.nan, np.nan)
        return Interval(estimate, float(low), float(high), float(cloud.std()) if len(cloud) else float("nan"))

    def _value(self, sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.of(sums), dtype=np.float64)


def count_table(unit: ArrayLike, value: ArrayLike, categories: int, units: int | None = None) -> Floats:
    """How often each unit was put into each category. -> (U, C)"""
    unit, value = np.asarray(unit, dtype=np.int64), np.asarray(value, dtype=np.int64)
    units = int(unit.max(initial=-1)) + 1 if units is None else units
    table = np.bincount(unit * categories + value, minlength=units * categories)
    return table.reshape(units, categories).astype(np.float64)


def raw_agreement(counts: Floats) -> Statistic:
    """The share of pairs of raters of one unit who say the same, over all such pairs. counts: (U, C)"""
    n = counts.sum(1)
    return Statistic(np.stack([(counts * (counts - 1)).sum(1), n * (n - 1)], axis=1), lambda s: s[..., 0] / s[..., 1])


def fleiss_kappa(counts: Floats) -> Statistic:
    """κ = (P̄ − P̄e) / (1 − P̄e) for any number of raters a unit (Fleiss 1971, eq. 1 to 7). counts: (U, C)

    P̄ is the mean over units of the share of agreeing pairs of raters, P̄e = Σ p_c² from the shares of the categories.
    Where units have different numbers of raters, those with one add nothing.
    """
    n = counts.sum(1)
    seen = (n > 1).astype(np.float64)
    share = (counts * (counts - 1)).sum(1) / np.maximum(n * (n - 1), 1.0)  # P_i
    parts = np.column_stack([seen, share, counts * seen[:, None]])

    def of(sums: Floats) -> Floats:
        mean = sums[..., 1] / sums[..., 0]
        shares = sums[..., 2:] / sums[..., 2:].sum(-1, keepdims=True)
        chance = (shares**2).sum(-1)
        return np.asarray((mean - chance) / (1 - chance))

    return Statistic(parts, of)


def prevalence(counts: Floats) -> Statistic:
    """The share of all ratings that say yes. counts: (U, 2) of no and yes"""
    return Statistic(np.stack([counts[:, 1], counts.sum(1)], axis=1), lambda s: s[..., 0] / s[..., 1])


def positive_agreement(counts: Floats) -> Statistic:
    """Where one rater says yes, how often another does; for two raters 2a / (2a + b + c).

    Fleiss 1971, eq. 18; Cicchetti and Feinstein 1990. counts: (U, 2) of no and yes
    """
    yes, n = counts[:, 1], counts.sum(1)
    return Statistic(np.stack([yes * (yes - 1), yes * (n - 1)], axis=1), lambda s: s[..., 0] / s[..., 1])


def gwet_ac1(counts: Floats) -> Statistic:
    """AC1 = (p_a − p_e) / (1 − p_e), p_e = Σ π_c (1 − π_c) / (C − 1) (Gwet 2008, eq. 7 and 18). counts: (U, C)

    p_a is the mean over units of the share of agreeing pairs of raters, π_c the mean over units of the share of c.
    Where one category is rare chance agreement stays near what raters do who guess now and then, and κ's doesn't.
    """
    n = counts.sum(1)
    several, any_ = (n > 1).astype(np.float64), (n > 0).astype(np.float64)
    share = (counts * (counts - 1)).sum(1) / np.maximum(n * (n - 1), 1.0)
    parts = np.column_stack([several, share, any_, counts / np.maximum(n, 1.0)[:, None]])

    def of(sums: Floats) -> Floats:
        agree, shares = sums[..., 1] / sums[..., 0], sums[..., 3:] / sums[..., 2:3]
        chance = (shares * (1 - shares)).sum(-1) / (counts.shape[1] - 1)
        return np.asarray((agree - chance) / (1 - chance))

    return Statistic(parts, of)


def cohen_kappa(first: ArrayLike, second: ArrayLike, categories: int, weights: Weights = "none") -> Statistic:
    """κ = 1 − Σ w O / Σ w E of two raters of the same units (Cohen 1960; weighted: Cohen 1968, eq. 8). (U,) each

    Disagreement w weighs 1 ("none"), |i − j| ("linear") or (i − j)² ("quadratic").
    """
    one, two = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    parts = np.zeros((len(one), categories * categories))
    parts[np.arange(len(one)), one * categories + two] = 1.0
    gap = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))).astype(np.float64)
    match weights:
        case "none":
            w = (gap > 0).astype(np.float64)
        case "linear":
            w = gap
        case "quadratic":
            w = gap**2

    def of(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], categories, categories)
        chance = table.sum(-1)[..., :, None] * table.sum(-2)[..., None, :] / table.sum((-2, -1))[..., None, None]
        return np.asarray(1 - (w * table).sum((-2, -1)) / (w * chance).sum((-2, -1)))

    return Statistic(parts, of)


def krippendorff_alpha(counts: Floats, level: Literal["nominal", "ordinal"] = "nominal") -> Statistic:
    """α = 1 − D_o / D_e from the matrix of coincidences (Krippendorff 2011, "Computing α-reliability"). counts: (U, C)

    A unit with one rating adds nothing. Ordinal: δ_ck = (Σ_{g=c..k} n_g − (n_c + n_k)/2)².
    """
    units, categories = counts.shape
    n = counts.sum(1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(categories), np.arange(categories)] = counts * (counts - 1)
    parts = np.where(n > 1, 1.0, 0.0)[:, None] * (pairs / np.maximum(n - 1, 1.0)[:, None, None]).reshape(units, -1)

    def of(sums: Floats) -> Floats:
        table = sums.reshape(*sums.shape[:-1], categories, categories)
        n_c = table.sum(-1)
        if level == "nominal":
            distance = 1.0 - np.eye(categories)
        else:
            upto = n_c.cumsum(-1) - n_c / 2  # distances along the scale, in ratings
            distance = (upto[..., :, None] - upto[..., None, :]) ** 2
        chance = n_c[..., :, None] * n_c[..., None, :] / (n_c.sum(-1) - 1)[..., None, None]
        return np.asarray(1 - (table * distance).sum((-2, -1)) / (chance * distance).sum((-2, -1)))

    return Statistic(parts, of)


def interval_alpha(unit: ArrayLike, value: ArrayLike, units: int | None = None) -> Statistic:
    """Krippendorff's α for numbers, δ = (v − v')², from sums and sums of squares: as many values as one likes. (V,)"""
    unit, value = np.asarray(unit, dtype=np.int64), np.asarray(value, dtype=np.float64)
    units = int(unit.max(initial=-1)) + 1 if units is None else units
    value = value - (value.mean() if len(value) else 0.0)  # α doesn't change; sums of squares keep their digits
    m, s, q = (np.bincount(unit, w, minlength=units) for w in (np.ones_like(value), value, value**2))
    observed = 2 * (m * q - s**2) / np.maximum(m - 1, 1.0)  # Σ_{i≠j} (v_i − v_j)² / (m − 1)
    parts = np.where(m > 1, 1.0, 0.0)[:, None] * np.stack([observed, m, s, q], axis=1)

    def of(sums: Floats) -> Floats:
        d, n, total, squares = np.moveaxis(sums, -1, 0)
        return np.asarray(1 - d * (n - 1) / (2 * (n * squares - total**2)))

    return Statistic(parts, of)


def tau_b(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's τ-b of two rank vectors, ties counted (Kendall 1945); NaN where one ties everything. (K,) each"""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    i, j = np.triu_indices(len(a), 1)
    signs, others = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    scale = np.sqrt((signs**2).sum() * (others**2).sum())
    return float((signs * others).sum() / scale) if scale else float("nan")


def mean_tau_b(rankings: Sequence[Sequence[ArrayLike]]) -> Statistic:
    """The mean τ-b over pairs of raters of one set of answers. rankings: for each set, its raters' rank vectors

    A pair in which one rater tied everything has no τ and is left out.
    """
    parts = np.zeros((len(rankings), 2))
    for number, vectors in enumerate(rankings):
        taus = [tau for a, b in combinations(vectors, 2) if np.isfinite(tau := tau_b(a, b))]
        parts[number] = sum(taus), len(taus)
    return Statistic(parts, lambda s: s[..., 0] / s[..., 1])


def unanimous(counts: Floats) -> Statistic:
    """The share of units with two raters or more on which all say the same. counts: (U, C)"""
    n = counts.sum(1)
    several = (n > 1).astype(np.float64)
    return Statistic(np.stack([several * (counts.max(1) == n), several], axis=1), lambda s: s[..., 0] / s[..., 1])


def rater_pairs(unit: ArrayLike, rater: ArrayLike) -> tuple[Ints, Ints]:
    """Every two ratings of one unit by different raters, as indices into the arrays, each pair once. (V,) -> (M,), (M,)

    The rater with the lower number comes first.
    """
    unit, rater = np.asarray(unit, dtype=np.int64), np.asarray(rater, dtype=np.int64)
    order = np.lexsort((rater, unit))
    bounds = np.flatnonzero(np.diff(unit[order], prepend=-1, append=-1))
    size = np.diff(bounds)
    ones: list[Ints] = []
    twos: list[Ints] = []
    for n in np.unique(size[size > 1]):
        starts = bounds[:-1][size == n]
        i, j = np.triu_indices(int(n), 1)
        ones.append(order[(starts[:, None] + i).ravel()])
        twos.append(order[(starts[:, None] + j).ravel()])
    if not ones:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(ones), np.concatenate(twos)
