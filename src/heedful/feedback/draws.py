"""What a judge said of one item each time it was asked, made into one label.

Models that judge lean to a place (Zheng et al. 2023, 2306.05685, section 3.4: ask in both orders, and call a pair a tie
where the two don't agree). Each draw is kept beside the label that is made of all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import floor
from statistics import mean
from typing import Any

from heedful.feedback.sheet import Answered, Sheet, read_answered

SWAYED = "the preference changed with the order of the answers"
Pairs = Mapping[tuple[int, int], Fraction]  # two stored places -> who leads: above 0 the first, below 0 the second


@dataclass(frozen=True, slots=True)
class Draw:
    """One answer of a judge, in stored order, and the stored places in the order in which it saw the answers."""

    value: Answered
    shown: tuple[int, ...]


def one_label(draws: Sequence[Draw], sheet: Sheet) -> Answered:
    """The label that several draws make.

    Pairs: in each order what most of its draws say; where the orders differ a tie, or `cant_judge` on a sheet without
    ties, with SWAYED as the reason. Rankings: by mean rank over the draws. Ratings: means, rounded. Flags and steps:
    what more than half say.
    """
    said = [draw.value for draw in draws if draw.value.verdict != "cant_judge"]
    if len(draws) == 1 or not said:
        return draws[0].value
    reason = next((value.reason for value in said if value.reason), "")
    if sheet.compare == "pair":
        compared = _pair([draw for draw in draws if draw.value.verdict != "cant_judge"], sheet)
        if compared["verdict"] == "cant_judge":
            return Answered(verdict="cant_judge", reason=SWAYED)
        reason = compared.pop("reason", reason)
    else:
        compared = {"ranks": _mean_ranks([value.ranks for value in said])} if sheet.compare == "rank" else {}
    return said[0].model_copy(
        update={
            "reason": reason,
            "presorted": "",
            "ratings": tuple(_mean_ratings(ratings) for ratings in zip(*(v.ratings for v in said), strict=False)),
            "flags": tuple(_most_flags(flags) for flags in zip(*(v.flags for v in said), strict=False)),
            "steps": tuple(_most_say(steps) for steps in zip(*(v.steps for v in said), strict=False)),
            **compared,
        }
    )


def _pair(draws: Sequence[Draw], sheet: Sheet) -> dict[str, Any]:
    votes = {sign(lead.get((0, 1), Fraction(0))) for lead in by_order(draws).values()}
    ties = [draw.value.verdict for draw in draws if draw.value.verdict != "prefer"]
    if len(votes) == 1 and (leads := votes.pop()):
        preferred = 0 if leads > 0 else 1
        strengths = [draw.value.strength for draw in draws if draw.value.preferred == preferred]
        return {"verdict": "prefer", "preferred": preferred, "strength": max(1, int(mean(strengths)))}
    swayed = {"reason": SWAYED} if votes else {}  # what is left of it: the orders differ
    kind = ties[0] if not swayed and len(set(ties)) == 1 else "tie"
    allowed = kind if kind in sheet.ties else next(iter(sheet.ties), "cant_judge")
    return {"verdict": allowed, "preferred": -1, "strength": 0} | swayed


def _mean_ranks(rankings: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
    """Answers by the mean of their ranks, equal ones tied; one that no draw ranked stays unranked."""
    means: list[Fraction | None] = []
    for ranks in zip(*rankings, strict=True):
        given = [rank for rank in ranks if rank is not None]
        means.append(Fraction(sum(given), len(given)) if given else None)
    levels = sorted({value for value in means if value is not None})
    return tuple(None if value is None else levels.index(value) for value in means)


def _mean_ratings(ratings: Sequence[Mapping[str, int]]) -> dict[str, int]:
    keys = sorted({key for one in ratings for key in one})
    return {key: floor(mean(one[key] for one in ratings if key in one) + 0.5) for key in keys}


def _most_flags(flags: Sequence[Sequence[str]]) -> tuple[str, ...]:
    counts = Counter(key for one in flags for key in set(one))
    return tuple(sorted(key for key, n in counts.items() if 2 * n > len(flags)))


def _most_say(labels: Sequence[str | None]) -> str | None:
    """The label of more than half; `neutral` where there is none."""
    label, n = Counter(labels).most_common(1)[0]
    return label if 2 * n > len(labels) else "neutral"


def read_draws(rows: Iterable[Mapping[str, Any]]) -> list[Draw]:
    """InputError: one is no filled-in sheet."""
    return [Draw(read_answered(row["value"]), tuple(row["shown"])) for row in rows]


def by_order(draws: Iterable[Draw]) -> dict[tuple[int, ...], Pairs]:
    """Of each order: who leads in each pair, over its draws."""
    found: dict[tuple[int, ...], dict[tuple[int, int], Fraction]] = {}
    for draw in draws:
        lead = found.setdefault(draw.shown, defaultdict(Fraction))
        for pair, one in pairs(draw.value).items():
            lead[pair] += one
    return dict(found)


def pairs(value: Answered) -> dict[tuple[int, int], Fraction]:
    """Each pair of places that was compared: 1 where the first is better, −1 the second, 0 neither."""
    if value.verdict == "prefer":
        return {(0, 1): Fraction(1 - 2 * value.preferred)}
    if value.verdict not in ("none", "cant_judge"):
        return {(0, 1): Fraction(0)}
    placed = [(place, rank) for place, rank in enumerate(value.ranks) if rank is not None]
    return {(i, j): Fraction(sign(b - a)) for (i, a), (j, b) in combinations(placed, 2)}


def sign(value: Fraction | int) -> int:
    return (value > 0) - (value < 0)
