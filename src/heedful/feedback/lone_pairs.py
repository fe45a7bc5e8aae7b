"""Pairs that stand alone, in a crowd's Bradley-Terry: their gaps are summed over, not fitted.

Where each prompt has one pair, three votes are all that is known of its gap. Fitted beside the raters' skill, each gap
bends to its own three votes, so that nobody seems to err, one who tosses a coin least of all; more prompts bring more
gaps and mend nothing (Neyman and Scott 1948). So such a gap d ~ N(0, σ²) is integrated out by quadrature:

    P(votes on a pair) = Σ_g w_g Π_v P(v | d_g)^weight,  P(v | d) = γ D(v; d) + (1 − γ) D(v; b)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.feedback.orders import davidson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST = 8  # votes on a pair; of more its gap is known well enough to be fitted
NODES = 15  # of the quadrature


def lone_items(item: Ints, first: Ints, second: Ints, gold: Ints, answers: int) -> NDArray[np.bool_]:
    """Which pairs have answers that are in no other one, no known gap, and few votes. (I,)"""
    count = np.bincount(item, minlength=len(first))
    voted = count > 0
    seen = np.bincount(first[voted], minlength=answers) + np.bincount(second[voted], minlength=answers)
    alone: NDArray[np.bool_] = voted & (count <= MOST) & (gold < 0) & (seen[first] == 1) & (seen[second] == 1)
    return alone


@dataclass(frozen=True, slots=True)
class Expected:
    """What the votes on lone pairs say, their gaps summed over. L of these votes, P of these pairs."""

    value: float  # log P of all votes
    judged: Floats  # (L,) P that a vote was judged
    judged_tie: Floats  # (L,) E[P judged · P(tie | gap)]
    gap: Floats  # (P,) the mean gap, seen from the first answer


@dataclass(frozen=True, slots=True)
class LonePairs:
    pair: Ints  # (L,) 0..P-1
    side: Floats  # (L,) 1 where the first answer lay left, else −1
    vote: Ints  # (L,) left, right, tie
    weight: Floats  # (L,)
    pairs: int
    nodes: Floats  # (G,) gaps
    masses: Floats  # (G,) their prior

    @classmethod
    def of(cls, pair: Ints, side: Floats, vote: Ints, weight: Floats, spread: float) -> LonePairs:
        """`pair`: any numbers that tell pairs apart, in whose order they are counted; spread: σ."""
        names, index = np.unique(pair, return_inverse=True)
        nodes, masses = np.polynomial.hermite_e.hermegauss(NODES)
        return cls(index, side, vote, weight, len(names), spread * nodes, masses / masses.sum())

    def expect(self, skill: Floats, guessed: Floats, log_tie: float) -> Expected:
        """skill (L,): γ of each vote's rater; guessed (L,): P(vote) of a guess of theirs."""
        told = np.stack([davidson(side * self.nodes, log_tie) for side in (1.0, -1.0)])  # (2, G, 3)
        seen = (self.side < 0).astype(np.int64)
        judged = skill[:, None] * told[seen, :, self.vote]  # (L, G)
        p = judged + ((1 - skill) * guessed)[:, None]
        logs = np.zeros((self.pairs, NODES))
        np.add.at(logs, self.pair, self.weight[:, None] * np.log(p))
        logs += np.log(self.masses)
        top = logs.max(1, keepdims=True)
        likely = np.exp(logs - top)
        total = likely.sum(1, keepdims=True)
        posterior = likely / total  # (P, G)
        share = posterior[self.pair] * judged / p
        return Expected(
            value=float((top + np.log(total)).sum()),
            judged=share.sum(1),
            judged_tie=(share * told[seen, :, 2]).sum(1),
            gap=posterior @ self.nodes,
        )
