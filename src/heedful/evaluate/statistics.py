"""Intervals for rates and means when prompts share templates and slots. Imports no torch.

The unit is the prompt, never the sampled answer: draws of one prompt are averaged first (Miller 2024, §11 of the survey
of evaluation statistics). Prompts made from one template, or about one slot, stand or fall together, so they are
resampled together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # scipy.stats would be another 24 MB in a running studio

from heedful.evaluate.rates import Z

Floats = NDArray[np.float64]
DRAWS = 2000  # bootstrap resamples
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SAME = 1e-24  # a smaller variance is rounding: nothing varies


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval. `se` is its standard error, `df` the degrees of freedom behind it."""

    mean: float
    low: float
    high: float
    se: float = 0.0
    df: float = float("inf")

    def p(self, null: float = 0.0) -> float:
        """Two-sided p-value of the mean against `null`; 1 where nothing varies and nothing differs."""
        gap = abs(self.mean - null)
        if self.se == 0.0:
            return 1.0 if gap == 0.0 else 0.0
        return float(2 * stdtr(self.df, -gap / self.se))

    def row(self) -> dict[str, float]:
        return {"mean": self.mean, "low": self.low, "high": self.high}


def _labels(clusters: Sequence[Hashable] | NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Clusters as 0..G-1 in order of appearance, and G."""
    seen: dict[Hashable, int] = {}
    labels = np.array([seen.setdefault(c, len(seen)) for c in clusters], dtype=np.int64)
    return labels, len(seen)


class Resamples:
    """Clusters drawn with replacement, once, for every value of the same units. -> (draws, groups) counts"""

    def __init__(self, clusters: Sequence[Hashable] | NDArray[Any], rng: np.random.Generator, draws: int) -> None:
        self.labels, self.groups = _labels(clusters)
        drawn = rng.integers(self.groups, size=(draws, self.groups))
        rows = np.repeat(np.arange(draws), self.groups)
        counts = np.bincount(rows * self.groups + drawn.ravel(), minlength=draws * self.groups)
        self.counts = counts.reshape(draws, self.groups).astype(np.float64)

    def ratios(self, values: Floats, weights: Floats) -> Floats:
        """Σ values / Σ weights of every resample. (draws,)"""
        sums = np.bincount(self.labels, values, minlength=self.groups)
        sizes = np.bincount(self.labels, weights, minlength=self.groups)
        return np.asarray((self.counts @ sums) / (self.counts @ sizes))


def clustered_bootstrap(
    values: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | NDArray[Any],
    rng: np.random.Generator,
    draws: int = DRAWS,
    weights: Sequence[float] | Floats | None = None,
) -> tuple[float, float]:
    """Percentile interval of the mean, whole clusters resampled. With `weights`: of the ratio Σ values / Σ weights."""
    array = np.asarray(values, dtype=np.float64)
    units = np.ones_like(array) if weights is None else np.asarray(weights, dtype=np.float64)
    low, high = np.quantile(Resamples(clusters, rng, draws).ratios(array, units), TAILS)
    return float(low), float(high)


class TwoWay:
    """Values that are clustered in two crossed ways, such as by template and by slot.

    The variances of three one-way cluster bootstraps combine as V = V_first + V_second − V_both (Cameron, Gelbach and
    Miller 2011, eq. 2.11), never less than the largest of them. The interval takes its shape from the bootstrap of the
    wider way, stretched to √V and to Student's t for the smaller number of clusters. A way with one cluster is no way.
    Resamples are drawn once: every value of the same prompts is judged on the same ones.
    """

    def __init__(
        self, first: Sequence[Hashable], second: Sequence[Hashable], rng: np.random.Generator, draws: int = DRAWS
    ) -> None:
        both = list(zip(first, second, strict=True))
        self.ways = tuple(Resamples(keys, rng, draws) for keys in (first, second, both))
        self.df = min((way.groups for way in self.ways if way.groups > 1), default=2) - 1.0

    def interval(self, values: Sequence[float] | Floats, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """The mean of one value a unit, in the order of the clusters."""
        array = np.asarray(values, dtype=np.float64)
        mean = float(array.mean())
        cloud, se = self.cloud(mean, [way.ratios(array, np.ones_like(array)) for way in self.ways])
        if not se:
            return Interval(mean, mean, mean)
        low, high = np.clip(np.quantile(cloud, TAILS), *bounds)
        return Interval(mean, float(low), float(high), se, self.df)

    def cloud(self, measured: float, clouds: Sequence[Floats]) -> tuple[Floats, float]:
        """Any figure's resamples by the three ways as one cloud, whose quantiles are the interval's, and its √V.

        √V is 0 where no resample differs from what was measured.
        """
        off = [cloud - measured for cloud in clouds]
        spreads = [float(cloud.var()) for cloud in off]
        variances = [
            spread * way.groups / (way.groups - 1) if way.groups > 1 else 0.0
            for spread, way in zip(spreads, self.ways, strict=True)
        ]
        widest = int(np.argmax(variances))
        if spreads[widest] <= SAME * max(1.0, measured * measured):
            return np.full_like(off[widest], measured), 0.0
        variance = max(variances[0] + variances[1] - variances[2], variances[widest])
        stretch = sqrt(variance / spreads[widest]) * float(stdtrit(self.df, TAILS[1])) / Z
        return measured + stretch * off[widest], sqrt(variance)


def t_interval(values: Sequence[float]) -> Interval:
    """Student's interval of a mean over independent runs (seeds): the unit for a claim about an algorithm."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, float("-inf"), float("inf"), float("inf"), 0.0)
    se, df = float(array.std(ddof=1)) / sqrt(len(array)), len(array) - 1.0
    half = float(stdtrit(df, TAILS[1])) * se
    return Interval(mean, mean - half, mean + half, se, df)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = running
    return adjusted
