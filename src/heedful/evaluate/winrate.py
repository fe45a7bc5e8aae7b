"""Win rates of one policy against another.

Every draw of one side meets every draw of the other under the same prompt; a tie counts half. Judges here score each
answer by itself, so the order in which two answers are shown cannot matter and there are no two orders to average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heedful.evaluate.length_control import length_controlled
from heedful.evaluate.rates import wilson
from heedful.evaluate.statistics import Floats, Interval, TwoWay
from heedful.evaluate.strata import strata
from heedful.records import Prompt, prompt_id

TIE = 1e-9  # scores this close are equal: rounding, not preference
NOWHERE = "nowhere"  # the group whose facts stand in no corpus: reported apart


@dataclass(frozen=True, slots=True)
class Side:
    """Scores and lengths in words of one policy's answers, both (prompts, draws)."""

    scores: Floats
    words: Floats

    def only(self, rows: Sequence[int]) -> Side:
        return Side(self.scores[list(rows)], self.words[list(rows)])


def outcomes(policy: Floats, against: Floats) -> Floats:
    """1 where the policy's draw wins, ½ where they tie, 0 where it loses. (prompts, draws) -> (…, draws, draws)"""
    gap = policy[:, :, None] - against[:, None, :]
    return np.where(np.abs(gap) <= TIE, 0.5, (gap > 0).astype(np.float64))


def clusters(prompts: Sequence[Prompt], key: str) -> list[str]:
    """What each prompt shares with others under this key of its meta; a prompt without it stands alone."""
    return [str(p.meta.get(key) or prompt_id(p.messages)) for p in prompts]


def resamples_of(prompts: Sequence[Prompt], rng: np.random.Generator) -> TwoWay:
    """Resamples of these prompts, clustered on template and slot."""
    return TwoWay(clusters(prompts, "template"), clusters(prompts, "slot"), rng)


def mean_rate(rates: Floats, resamples: TwoWay) -> Interval:
    """The mean of one rate a prompt. Where all agree the bootstrap sees no spread, and Wilson's interval stands in."""
    found = resamples.interval(rates, (0.0, 1.0))
    return found if found.se else Interval(found.mean, *wilson(float(rates.sum()), len(rates)))


def win_rate(policy: Side, against: Side, resamples: TwoWay) -> dict[str, Any]:
    """Rate, intervals, counts and the length-controlled rate over these prompts.

    `wins`, `ties` and `losses` count pairs of draws.
    """
    table = outcomes(policy.scores, against.scores)
    rates = table.mean((1, 2))
    interval = mean_rate(rates, resamples)
    wilson_low, wilson_high = wilson(float(rates.sum()), len(rates))
    lengths = policy.words[:, :, None] - against.words[:, None, :]
    pairs = table[0].size
    return {
        "prompts": len(rates),
        "rate": interval.mean,
        "wins": int((table == 1).sum()),
        "ties": int((table == 0.5).sum()),
        "losses": int((table == 0).sum()),
        "low": interval.low,
        "high": interval.high,
        "wilson_low": wilson_low,
        "wilson_high": wilson_high,
        "length_controlled": length_controlled(table.ravel(), lengths.ravel(), np.full(table.size, 1.0 / pairs)),
    }


def win_rates_by(key: str, policy: Side, against: Side, prompts: Sequence[Prompt]) -> dict[str, dict[str, float]]:
    """Win rate of each value of a meta key, with Wilson's interval: too few clusters remain for a bootstrap."""
    rates = outcomes(policy.scores, against.scores).mean((1, 2))
    found: dict[str, dict[str, float]] = {}
    for value, rows in strata(key, prompts).items():
        low, high = wilson(float(rates[rows].sum()), len(rows))
        found[value] = {"prompts": len(rows), "rate": float(rates[rows].mean()), "low": low, "high": high}
    return found


def counted_rows(prompts: Sequence[Prompt]) -> list[int]:
    """The prompts that headline figures count: all but the group `nowhere`, unless there are no others."""
    return [i for i, p in enumerate(prompts) if p.meta.get("group") != NOWHERE] or list(range(len(prompts)))


def compare(
    sides: Mapping[str, Side],
    pairs: Sequence[tuple[str, str]],
    prompts: Sequence[Prompt],
    resamples: TwoWay,
) -> list[dict[str, Any]]:
    """One row for each (policy, against): over all prompts but the group `nowhere`, then by family and by group.

    `resamples` are of the prompts that `counted_rows` names.
    """
    rows = counted_rows(prompts)
    counted = [prompts[i] for i in rows]
    found = []
    for name, other in pairs:
        policy, against = sides[name], sides[other]
        row: dict[str, Any] = {"policy": name, "against": other}
        row |= win_rate(policy.only(rows), against.only(rows), resamples)
        row["by_family"] = win_rates_by("family", policy.only(rows), against.only(rows), counted)
        row["by_group"] = win_rates_by("group", policy, against, prompts)
        found.append(row)
    return found
