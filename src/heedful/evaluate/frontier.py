"""The frontier of truth over KL, and the area under it: which way of training gets more for the same distance.

f(k) is the best mean truth among a line's policies within k nats of the reference, the reference itself at 0; the area
is the mean of f(k) − f(0) over k from 0 to a reach that all lines share. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heedful.evaluate.statistics import TAILS, Floats, TwoWay, holm
from heedful.records import Row


@dataclass(frozen=True, slots=True)
class Reached:
    """One policy: its KL to the reference in nats, and the truth's mean over its answers to every prompt."""

    label: str
    kl: float
    values: Floats  # (prompts,)


@dataclass(frozen=True, slots=True)
class SeedLine:
    """The policies that one seed trained, and their reference on the same prompts."""

    start: Floats  # (prompts,)
    points: Sequence[Reached]


def areas(line: SeedLine, reach: float, counts: Floats) -> Floats:
    """The area of every resample. `counts` (resamples, prompts): how often each prompt was drawn. (resamples,)"""
    within = sorted((point for point in line.points if point.kl <= reach), key=lambda point: point.kl)
    starts = np.array([0.0, *(max(0.0, point.kl) for point in within)])  # from where on each policy can be had
    widths = np.diff(np.append(starts, reach))
    values = np.stack([line.start, *(point.values for point in within)], axis=1)
    means = counts @ values / counts.sum(1, keepdims=True)  # (resamples, 1 + points)
    best = np.maximum.accumulate(means, axis=1)
    return np.asarray((best - means[:, :1]) @ widths / reach)


def compare_frontiers(
    lines: Mapping[str, Sequence[SeedLine]], prompts: TwoWay, rng: np.random.Generator, primary: str = ""
) -> list[Row]:
    """One row a line: its area with an interval, and by how much it exceeds that of the first.

    prompts: their resamples, the same for all lines; of each line its seeds are drawn too. Intervals are 95 %. p is of
    the difference to the first line, `p_holm` after Holm's correction over the others; the line `primary`, named before
    anything was measured, is the one question that is asked by itself and is not corrected.
    """
    reach = max(point.kl for seeds in lines.values() for seed in seeds for point in seed.points)
    clouds = {name: _resampled(seeds, reach, prompts, rng) for name, seeds in lines.items()}
    first = next(iter(clouds.values()))
    apart = {name: cloud - first for name, cloud in clouds.items()}
    p = {name: _p(cloud, prompts) for name, cloud in apart.items()}
    asked = [name for name in lines if name not in (next(iter(lines)), primary)]
    adjusted = p | dict(zip(asked, holm([p[name] for name in asked]), strict=True))
    return [
        {"line": name, "seeds": len(seeds), "reach": reach, "primary": name == primary}
        | _spread("area", clouds[name], prompts)
        | _spread("difference", apart[name], prompts)
        | {"p": p[name], "p_holm": adjusted[name]}
        for name, seeds in lines.items()
    ]


def _resampled(seeds: Sequence[SeedLine], reach: float, prompts: TwoWay, rng: np.random.Generator) -> Floats:
    """The area as measured, and below it those of every resample, by each way of clustering. (1 + draws, 3)"""
    once = np.ones((1, len(seeds[0].start)))
    columns = []
    for way in prompts.ways:
        counts = np.concatenate([once, way.counts[:, way.labels]])
        found = np.stack([areas(seed, reach, counts) for seed in seeds], axis=1)  # (1 + draws, seeds)
        chosen = rng.integers(len(seeds), size=found.shape)
        chosen[0] = np.arange(len(seeds))
        columns.append(np.take_along_axis(found, chosen, axis=1).mean(1))
    return np.stack(columns, axis=1)


def _cloud(resampled: Floats, prompts: TwoWay) -> Floats:
    return prompts.cloud(float(resampled[0, 0]), list(resampled[1:].T))[0]


def _spread(name: str, resampled: Floats, prompts: TwoWay) -> dict[str, float]:
    low, high = np.quantile(_cloud(resampled, prompts), TAILS)
    return {name: float(resampled[0, 0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _p(resampled: Floats, prompts: TwoWay) -> float:
    """Two-sided, from the share of resamples on the wrong side of 0; never 0, as no bootstrap can tell that."""
    cloud = _cloud(resampled, prompts)
    wrong = min(np.count_nonzero(cloud <= 0), np.count_nonzero(cloud >= 0))
    return float(min(1.0, 2 * (wrong + 1) / (len(cloud) + 1)))
