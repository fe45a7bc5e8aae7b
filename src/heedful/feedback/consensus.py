"""From many votes to one label a pair: hard, soft or weighted, with its margin. The votes themselves are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from heedful.feedback.crowd import OWN, fit_crowd
from heedful.feedback.diagnosis import copying, vote_weights
from heedful.feedback.judgements import FIRST, SECOND, TIE
from heedful.feedback.reliability import dawid_skene, pseudo_counts
from heedful.feedback.votes import Votes

Floats = NDArray[np.float64]
Rule = Literal["majority", "soft", "dawid-skene", "crowd"]
RULES: tuple[Rule, ...] = ("majority", "soft", "dawid-skene", "crowd")
TOP_MARGIN = 6.0  # log odds: 1 in 400; no handful of votes knows better


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the raters say together of I pairs. probability: (I, 3) of first, second, tie; votes: (I,) how many."""

    rule: Rule
    probability: Floats
    votes: Floats

    @property
    def preference(self) -> Floats:
        """P(the first is better), a tie counted half. (I,)"""
        return np.asarray(self.probability[:, FIRST] + self.probability[:, TIE] / 2)

    @property
    def label(self) -> NDArray[np.int64]:
        """FIRST, SECOND or TIE, whichever is likeliest; even ones between first and second are ties. (I,)"""
        p = self.probability
        side = np.where(p[:, FIRST] > p[:, SECOND], FIRST, SECOND)
        even = np.abs(p[:, FIRST] - p[:, SECOND]) < 1e-9
        return np.where(even | (p[:, TIE] > p.max(1, initial=0.0, where=[True, True, False])), TIE, side)

    @property
    def margin(self) -> Floats:
        """The log odds of the preference, at most ±6. From votes, half a vote is imagined on either side. (I,)"""
        p = self.preference
        if self.rule in ("majority", "soft"):
            p = (p * self.votes + 0.5) / (self.votes + 1)
        p = np.clip(p, 1e-12, 1 - 1e-12)
        return np.asarray(np.clip(np.log(p / (1 - p)), -TOP_MARGIN, TOP_MARGIN))

    @property
    def uncertainty(self) -> Floats:
        """The entropy of each pair's label in bits. (I,)"""
        return np.asarray(-xlogy(self.probability, self.probability).sum(1) / np.log(2))


def agree_on(votes: Votes, rule: Rule) -> Consensus:
    """One label a pair.

    majority: the choice of most; an even split is a tie. soft: the shares of the votes. dawid-skene: what is likeliest
    given how each rater errs. crowd: skill, position bias, the answers' scores and each pair's own gap together, so
    that a pair is also judged by what was said of its answers elsewhere. The last two let those who copy each other
    count as one, and hold pairs whose right answer a check knows at that answer, which teaches what the raters are
    worth.
    """
    n = np.bincount(votes.item, minlength=votes.items).astype(np.float64)
    shares = votes.counts() / np.maximum(n, 1.0)[:, None]
    shares[n == 0] = (0.5, 0.5, 0.0)
    match rule:
        case "majority":
            most = shares == shares.max(1, keepdims=True)
            alone = np.where(most.sum(1, keepdims=True) == 1, most, np.array([False, False, True]))
            return Consensus(rule, alone.astype(np.float64), n)
        case "soft":
            return Consensus(rule, shares, n)
        case "dawid-skene":
            weight = vote_weights(votes, copying(votes))
            ties = bool((votes.choice == TIE).any() or (votes.gold == TIE).any())
            found = dawid_skene(
                votes.item,
                votes.rater,
                votes.choice,
                3 if ties else 2,
                items=votes.items,
                raters=len(votes.raters),
                weight=weight,
                prior=pseudo_counts(3 if ties else 2),
                gold=votes.gold,
            )
            p = found.posterior if ties else np.column_stack([found.posterior, np.zeros(votes.items)])
            return Consensus(rule, p, n)
        case "crowd":
            crowd = fit_crowd(votes, vote_weights(votes, copying(votes)), OWN)
            p = crowd.probabilities(votes.first, votes.second)
            return Consensus(rule, np.where(votes.gold[:, None] >= 0, np.eye(3)[votes.gold], p), n)


@dataclass(frozen=True, slots=True)
class Case:
    """A pair that a second look would help, and why."""

    item: int
    reason: Literal["split", "people and machines differ", "unsure"]
    uncertainty: float  # bits
    votes: int


def adjudication(votes: Votes, consensus: Consensus, *, unsure: float = 0.9) -> list[Case]:
    """Pairs on which raters split evenly, people and machines differ, or the label stays unsure; the worst first.

    unsure: bits above which two votes or more have left a label open.
    """
    human = np.array([kind == "human" for kind in votes.kinds], dtype=bool)[votes.rater]
    people, machines = votes.only(human), votes.only(~human)
    lead, lead_machines = _lead(people), _lead(machines)
    counts = votes.counts()
    cases: list[Case] = []
    for item in np.flatnonzero(consensus.votes > 1):
        sides, n = counts[item, :2], int(consensus.votes[item])
        bits = float(consensus.uncertainty[item])
        if sides[0] == sides[1] > 0:
            cases.append(Case(int(item), "split", bits, n))
        elif lead[item] * lead_machines[item] < 0:
            cases.append(Case(int(item), "people and machines differ", bits, n))
        elif bits > unsure:
            cases.append(Case(int(item), "unsure", bits, n))
    order = {"split": 0, "people and machines differ": 1, "unsure": 2}
    return sorted(cases, key=lambda case: (order[case.reason], -case.uncertainty, -case.votes, case.item))


def _lead(votes: Votes) -> Floats:
    counts = votes.counts()
    return np.asarray(np.sign(counts[:, FIRST] - counts[:, SECOND]))
