"""Judgements as arrays of votes on pairs: what agreement, reliability and diagnosis compute on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heedful.feedback.judgements import DECISION, FIRST, SECOND, Judgement, better_of, ranks_in
from heedful.records import prompt_id

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """V votes by R raters on I pairs of A answers.

    A pair's first and second answer are told apart by a hash of their texts: an order that knows nothing of who wrote
    them, which is longer, or which was preferred, so that "first" is no category that raters could lean to.
    """

    item: Ints  # (V,) 0..I-1
    rater: Ints  # (V,) 0..R-1
    choice: Ints  # (V,) FIRST, SECOND or TIE
    left: Ints  # (V,) FIRST or SECOND: which one lay left (or above) on the screen; -1: not known
    at: Floats  # (V,) seconds since 1970; 0: not known
    strength: Floats  # (V,) 0: not said
    sheet: Ints  # (V,) the judgement that a vote is part of: one ranking of K answers gives K(K−1)/2 votes
    first: Ints  # (I,) 0..A-1
    second: Ints  # (I,)
    group: Ints  # (I,) the set of answers that were judged together: the unit of resampling
    gold: Ints  # (I,) FIRST, SECOND or TIE where a check says what is right; -1 elsewhere
    length: Floats  # (A,) characters
    raters: tuple[str, ...]
    kinds: tuple[str, ...]  # of the raters: human, ai, simulated
    prompts: tuple[str, ...]  # (I,) content hashes: files give one id to different prompts, and one prompt several ids
    names: tuple[str, ...]  # (I,) the id of the prompt in its file, for people to read
    texts: tuple[str, ...]  # (A,)

    @property
    def items(self) -> int:
        return len(self.first)

    @property
    def answers(self) -> int:
        return len(self.length)

    def counts(self) -> Floats:
        """How many chose the first, the second, neither. (I, 3)"""
        flat = np.bincount(self.item * 3 + self.choice, minlength=self.items * 3)
        return flat.reshape(self.items, 3).astype(np.float64)

    def judgements(self) -> Ints:
        """How many judgements each rater's votes come from: a ranking of nine is one, not 36. (R,)"""
        _, at = np.unique(self.sheet, return_index=True)
        return np.bincount(self.rater[at], minlength=len(self.raters))

    def design_effects(self, score: Floats) -> Floats:
        """By how much the votes of one ranking, which stand and fall together, make a rater's information less. (R,)

        score: (V,) what each vote adds to the derivative of the rater's log likelihood. The variance of its sums over
        rankings stands against that of as many single votes (Kish 1965); at least 1, and 1 where each vote is alone.
        """
        _, at, which = np.unique(self.sheet, return_index=True, return_inverse=True)
        together = np.bincount(self.rater[at], np.bincount(which, score) ** 2, len(self.raters))
        alone = np.bincount(self.rater, score**2, len(self.raters))
        return np.asarray(np.maximum(1.0, np.divide(together, alone, out=np.ones(len(alone)), where=alone > 0)))

    def only(self, keep: NDArray[np.bool_]) -> Votes:
        """Some of the votes; items, raters and answers keep their numbers."""
        return replace(
            self,
            item=self.item[keep],
            rater=self.rater[keep],
            choice=self.choice[keep],
            left=self.left[keep],
            at=self.at[keep],
            strength=self.strength[keep],
            sheet=self.sheet[keep],
        )


def collect_votes(judgements: Iterable[Judgement]) -> Votes:
    """Every pair of every judgement as one vote. A rater who is not named counts as a rater of each judgement's own.

    Of several revisions by one rater on one pair the last one counts.
    """
    pairs: dict[tuple[str, int, int], int] = {}
    answers: dict[tuple[str, str], int] = {}
    raters: dict[tuple[str, str], int] = {}
    groups: dict[tuple[str, frozenset[int]], int] = {}
    item_rows: list[tuple[int, int, int, str, str]] = []
    votes: dict[tuple[int, int], tuple[int, int, float, float, int]] = {}
    gold: dict[int, int] = {}
    for number, judgement in enumerate(judgements):
        ranks = judgement.ranks
        if len(ranks) < 2 or judgement.part == DECISION:
            continue
        name = judgement.rater or f"(unnamed {number + 1})"
        rater = raters.setdefault((name, judgement.rater_kind), len(raters))
        prompt = prompt_id(judgement.prompt.messages)
        place = {p: answers.setdefault((prompt, judgement.completions[p]), len(answers)) for p in ranks}
        group = groups.setdefault((prompt, frozenset(place.values())), len(groups))
        right = ranks_in(judgement.expected)
        screen = {p: n for n, p in enumerate(judgement.shown)}
        for a, b in combinations(sorted(ranks), 2):
            if place[a] == place[b]:
                continue  # equal texts can't be told apart
            if _hash(judgement.completions[a]) > _hash(judgement.completions[b]):
                a, b = b, a
            key = (prompt, place[a], place[b])
            if key not in pairs:
                pairs[key] = len(pairs)
                item_rows.append((place[a], place[b], group, prompt, judgement.prompt.id))
            choice = better_of(ranks[a], ranks[b])
            if {a, b} <= right.keys():
                gold[pairs[key]] = better_of(right[a], right[b])
            left = -1 if not {a, b} <= screen.keys() else FIRST if screen[a] < screen[b] else SECOND
            strength = judgement.strength if len(ranks) == 2 else 0.0
            votes[pairs[key], rater] = (choice, left, judgement.at, strength, number)
    ints = [np.array(column, dtype=np.int64) for column in zip(*votes, strict=True)] or [np.zeros(0, np.int64)] * 2
    said = list(zip(*votes.values(), strict=True)) or [()] * 5
    items = list(zip(*item_rows, strict=True)) or [()] * 5
    return Votes(
        item=ints[0],
        rater=ints[1],
        choice=np.array(said[0], dtype=np.int64),
        left=np.array(said[1], dtype=np.int64),
        at=np.array(said[2], dtype=np.float64),
        strength=np.array(said[3], dtype=np.float64),
        sheet=np.array(said[4], dtype=np.int64),
        first=np.array(items[0], dtype=np.int64),
        second=np.array(items[1], dtype=np.int64),
        group=np.array(items[2], dtype=np.int64),
        gold=np.array([gold.get(number, -1) for number in range(len(pairs))], dtype=np.int64),
        length=np.array([len(text) for _, text in answers], dtype=np.float64),
        raters=tuple(name for name, _ in raters),
        kinds=tuple(kind for _, kind in raters),
        prompts=tuple(str(prompt) for prompt in items[3]),
        names=tuple(str(name) for name in items[4]),
        texts=tuple(text for _, text in answers),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
