"""Ratings by criterion as packed answers with standardised numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heedful.batches import RatingBatch
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.records import Rating


@dataclass(frozen=True, slots=True)
class Criterion:
    """A head's name, the mean and standard deviation of its ratings, and its weight in the one reward."""

    name: str
    mean: float
    std: float
    weight: float


def criteria_of(ratings: Sequence[Rating], weights: Mapping[str, float]) -> tuple[Criterion, ...]:
    """The criteria of the ratings in order of first sight. InputError: one can't be learnt, or a weight names none."""
    names = list(dict.fromkeys(name for rating in ratings for name in rating.ratings))
    if unknown := sorted(weights.keys() - set(names)):
        raise InputError(f"loss.weights names '{unknown[0]}', which no rating has (there are: {', '.join(names)})")
    criteria = []
    for name in names:
        values = [rating.ratings[name] for rating in ratings if name in rating.ratings]
        std = float(np.std(values))
        if std < 1e-9:
            raise InputError(
                f"every answer has the same rating for '{name}' ({values[0]:g}): nothing can be learnt; leave it out"
            )
        weight = weights.get(name, 0.0) if weights else 1.0 / len(names)
        criteria.append(Criterion(name, float(np.mean(values)), std, weight))
    return tuple(criteria)


@dataclass(frozen=True, slots=True)
class RatedExample:
    """An answer as tokens and its standardised ratings; NaN where nobody rated. (K,)"""

    example: Example
    ratings: tuple[float, ...]


def standardised(rating: Rating, criteria: Sequence[Criterion]) -> tuple[float, ...]:
    """(rating − mean)/std for each criterion, NaN where there is none. (K,)"""
    return tuple((rating.ratings.get(c.name, float("nan")) - c.mean) / c.std for c in criteria)


def pack_ratings(items: Sequence[RatedExample]) -> RatingBatch:
    """Several rated answers as one batch."""
    ratings = torch.tensor([item.ratings for item in items], dtype=torch.float32)
    known = ~ratings.isnan()
    return RatingBatch(pack([item.example for item in items]), ratings.nan_to_num(0.0), known.float())
