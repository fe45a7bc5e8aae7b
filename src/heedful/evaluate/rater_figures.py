"""What raters reach among themselves, on the axis of a model's accuracy: each judges what the others said.

A rater is counted as a model would be: the majority of the others is the guess, the own vote the label, and ties of
either side count half. Imports no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.evaluate.statistics import TAILS, Resamples
from heedful.evaluate.vote_ceiling import ceiling_of, log_likelihood, vote_ceiling

Floats = NDArray[np.float64]
FEWEST = 10  # prompts that two raters judged, below which nothing is said
GRID = np.arange(-6.0, 8.0, 0.01)  # log a, for the ceilings of resamples

# What people reach among themselves, for the same axis as a figure of one's own.
PUBLISHED = (
    ("HH: researchers with workers (2204.05862, § 2.2)", 0.63),
    ("InstructGPT: training labellers (2203.02155, § 3.4)", 0.726),
    ("InstructGPT: held-out labellers (2203.02155, § 3.4)", 0.773),
    ("summaries: researchers among themselves (2009.01325, § 3.3)", 0.73),
    ("summaries: labellers with researchers (2009.01325, § 3.3)", 0.77),
)


def rater_figures(
    pair: NDArray[np.int64],
    said: Floats,
    rater: NDArray[np.str_],
    prompt: NDArray[np.str_],
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """How often a vote agrees with the majority of the others on its pair, and the ceiling that the votes set.

    pair: which pair a vote is on. said: 1 for one of its answers, 0 for the other, 0.5 for a tie. All (V,). Intervals
    are 95 %, whole prompts redrawn. Votes of unnamed raters are left out: nobody knows whether two are by one. Only the
    counts where fewer than `FEWEST` prompts have a pair that two raters judged.
    """
    keep = _last_of_each(pair, rater)
    which, pair = np.unique(pair[keep], return_inverse=True)
    lead, prompt = 2 * said[keep] - 1, prompt[keep]
    several = np.bincount(pair)[pair] > 1 if len(pair) else np.zeros(0, dtype=bool)
    prompts = len(np.unique(prompt[several]))
    found: dict[str, Any] = {"overlapping": len(np.unique(pair[several])), "overlapping_prompts": prompts}
    if prompts < FEWEST:
        return found
    others = np.bincount(pair, lead)[pair] - lead
    agrees = (0.5 + lead / 2 * np.sign(others))[several]
    resamples = Resamples(prompt[several], rng, draws)
    low, high = np.quantile(resamples.ratios(agrees, np.ones_like(agrees)), TAILS)
    found |= {"raters_agree": agrees.mean(), "raters_agree_low": low, "raters_agree_high": high}
    first, total = np.bincount(pair, lead > 0), np.bincount(pair, lead != 0)
    on = np.zeros(len(which), dtype=np.int64)
    on[pair[several]] = resamples.labels
    seen = np.unique(pair[several])
    ties = np.bincount(pair, lead == 0)
    ceiling, low, high = _ceiling(first[seen], total[seen], ties[seen], on[seen], resamples)
    found |= {"ceiling": ceiling, "ceiling_low": low, "ceiling_high": high}
    return {name: round(float(value), 4) if isinstance(value, float) else value for name, value in found.items()}


def _last_of_each(pair: NDArray[np.int64], rater: NDArray[np.str_]) -> NDArray[np.int64]:
    """The last vote of each named rater on each pair, in order."""
    last = {(int(p), str(r)): place for place, (p, r) in enumerate(zip(pair, rater, strict=True)) if r}
    return np.array(sorted(last.values()), dtype=np.int64)


def _ceiling(
    first: Floats, total: Floats, ties: Floats, group: NDArray[np.int64], resamples: Resamples
) -> tuple[float, float, float]:
    """The votes' ceiling with its interval; of ties, which anyone gets half right, as large a share as there is.

    Resamples read their a off a grid, on which the log likelihood is a sum over pairs.
    """
    share = ties.sum() / (ties + total).sum()
    whole = (1 - share) * vote_ceiling(first.astype(int).tolist(), total.astype(int).tolist()) + share / 2
    kinds, kind = np.unique(np.stack([first, total]), axis=1, return_inverse=True)
    table = log_likelihood(kinds[0][:, None], kinds[1][:, None], GRID)  # (K, A)
    of_group = np.zeros((resamples.groups, kinds.shape[1]))
    np.add.at(of_group, (group, kind.ravel()), 1.0)
    best = GRID[(resamples.counts @ of_group @ table).argmax(1)]
    tied = resamples.counts @ np.bincount(group, ties, resamples.groups)
    votes = resamples.counts @ np.bincount(group, ties + total, resamples.groups)
    cloud = (1 - tied / votes) * ceiling_of(best) + tied / votes / 2
    low, high = np.quantile(cloud, TAILS)
    return float(whole), float(low), float(high)
