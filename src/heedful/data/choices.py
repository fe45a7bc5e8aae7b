"""Rankings as rows of choices, for Plackett-Luce: the best of all answers, then the best of those left.

Answers that share a rank make a choice open: the mean over all orders that break the tie. At the j-th choice among m
tied answers every subset of the m − j + 1 left over is equally likely, and so is each answer of the subset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from heedful.batches import ChoiceBatch
from heedful.data.pairs import RankedExamples, pack_pairs
from heedful.errors import InputError
from heedful.records import Ranking

MOST_TIED = 10  # answers that share a rank: their subsets are counted out, 2^10


@dataclass(frozen=True, slots=True)
class Choice:
    """Who could be chosen (indices of answers), and which of them might have been; all of these alike."""

    members: tuple[int, ...]
    chosen: tuple[int, ...]
    weight: float


def choices_of(ranks: Sequence[int]) -> Iterator[Choice]:
    """The choices that a ranking is made of; rank 0 is best. The last answer is no choice."""
    left = list(range(len(ranks)))
    while len(left) > 1:
        best = min(ranks[i] for i in left)
        tied = [i for i in left if ranks[i] == best]
        worse = [i for i in left if ranks[i] > best]
        if len(tied) > MOST_TIED:
            raise InputError(
                f"a ranking has {len(tied)} answers of one rank, and plackett_luce counts out ties of at most "
                f'{MOST_TIED}: use loss.type = "bradley_terry"'
            )
        for size in range(len(tied), 0, -1):
            subsets = list(combinations(tied, size))
            for subset in subsets:
                if size + len(worse) > 1:
                    yield Choice((*subset, *worse), subset, 1.0 / len(subsets))
        left = worse


@dataclass(frozen=True, slots=True)
class ChosenExamples:
    """The answers to one prompt as tokens and pairs, and their rankings as choices among them."""

    ranked: RankedExamples
    choices: tuple[Choice, ...]


def choose_examples(ranked: RankedExamples, rankings: Sequence[Ranking]) -> ChosenExamples:
    """Several raters' rankings of the same answers count by their weights, and sum to the mean of these: else to 1."""
    answers = rankings[0].completions
    choices = []
    for ranking in rankings:
        place = [answers.index(text) for text in ranking.completions] if len(rankings) > 1 else range(len(answers))
        for choice in choices_of(ranking.ranks):
            members, chosen = (tuple(place[i] for i in group) for group in (choice.members, choice.chosen))
            choices.append(Choice(members, chosen, ranking.weight * choice.weight / len(rankings)))
    return ChosenExamples(ranked, tuple(choices))


def pack_choices(items: Sequence[ChosenExamples]) -> ChoiceBatch:
    """Several rankings as one batch."""
    member: list[int] = []
    choice: list[int] = []
    target: list[float] = []
    weight: list[float] = []
    first = 0
    for item in items:
        for one in item.choices:
            member += [first + index for index in one.members]
            choice += [len(weight)] * len(one.members)
            target += [1 / len(one.chosen) if index in one.chosen else 0.0 for index in one.members]
            weight.append(one.weight)
        first += len(item.ranked.examples)
    return ChoiceBatch(
        pairs=pack_pairs([item.ranked for item in items]),
        member=torch.tensor(member, dtype=torch.long),
        choice=torch.tensor(choice, dtype=torch.long),
        target=torch.tensor(target, dtype=torch.float32),
        weight=torch.tensor(weight, dtype=torch.float32),
    )
