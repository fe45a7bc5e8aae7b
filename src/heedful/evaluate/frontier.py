"""The frontier of truth over KL, and the area under it: which way of training gets more for the same distance.

f(k) is the best mean truth among a line's policies within k nats of the reference, the reference itself at 0; the area
is the mean of f(k) − f(0) over k from 0 to a reach that all lines share. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heedful.evaluate.statistics import TAILS, Floats, holm
from heedful.records import Row

DRAWS = 4000


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
    lines: Mapping[str, Sequence[SeedLine]], rng: np.random.Generator, draws: int = DRAWS
) -> list[Row]:
    """One row a line: its area with an interval, and by how much it exceeds that of the first.

    Intervals are 95 %, by a bootstrap that draws prompts, the same for all lines, and of each line its seeds. p is of
    the difference to the first line, `p_holm` after Holm's correction over the others.
    """
    reach = max(point.kl for seeds in lines.values() for seed in seeds for point in seed.points)
    prompts = len(next(iter(lines.values()))[0].start)
    drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=draws).astype(float)
    counts = np.concatenate([np.ones((1, prompts)), drawn])  # the first row is what was measured
    clouds = {}
    for name, seeds in lines.items():
        found = np.stack([areas(seed, reach, counts) for seed in seeds], axis=1)  # (1 + draws, seeds)
        chosen = rng.integers(len(seeds), size=found.shape)
        chosen[0] = np.arange(len(seeds))
        clouds[name] = np.take_along_axis(found, chosen, axis=1).mean(1)
    first = next(iter(clouds.values()))
    adjusted = [1.0, *holm([_p(cloud - first) for cloud in list(clouds.values())[1:]])]
    return [
        {"line": name, "seeds": len(lines[name]), "reach": reach, **_spread("area", cloud)}
        | _spread("difference", cloud - first)
        | {"p": _p(cloud - first), "p_holm": p}
        for (name, cloud), p in zip(clouds.items(), adjusted, strict=True)
    ]


def _spread(name: str, cloud: Floats) -> dict[str, float]:
    low, high = np.quantile(cloud[1:], TAILS)
    return {name: float(cloud[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _p(cloud: Floats) -> float:
    """Two-sided, from the share of resamples on the wrong side of 0; never 0, as no bootstrap can tell that."""
    resamples = cloud[1:]
    wrong = min(np.count_nonzero(resamples <= 0), np.count_nonzero(resamples >= 0))
    return float(min(1.0, 2 * (wrong + 1) / (len(resamples) + 1)))
