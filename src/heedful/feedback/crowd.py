"""A crowd's Bradley-Terry: scores of answers, skill and position bias of raters, learnt together from votes on pairs.

A rater k who judges answers a speaks by their gap d; one who doesn't guesses by the place on the screen:

    P(vote | left, right, k) = γ_k · D(vote; s_left − s_right) + (1 − γ_k) · D(vote; b_k)

D is Davidson's (win, loss, tie). γ_k = σ(a_k) is the skill, b_k the log odds of guessing left. It is the model of Chen
et al. 2013 ("Pairwise ranking aggregation in a crowdsourced setting") with a guess that may lean to one side, and ties.
Of a pair whose right answer is known (a check), the gap is no parameter: votes on it are compared with a gap of ±GOLD
(0 for a tie), which teaches what their raters are worth, and the answer itself counts as the vote of one who always
judges.
For a consensus each pair i has a gap of its own beside its answers' scores, d = s_left − s_right ± u_i, with
u_i ~ N(0, OWN²): one vote is read in the light of what was said of the answers elsewhere, and several votes on the pair
itself outweigh that. The gap of a pair whose answers stand in no other is summed over (`lone_pairs`).
Priors: s ~ N(0, 2²); a_k ~ N(μ, 1) with μ ~ N(1.5, 1) learnt, so that few votes leave a rater as good as the others;
b_k ~ N(0, 1.5²). Fitted to the posterior's mode by L-BFGS on its own gradient, which a test checks numerically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from heedful.evaluate.rates import Z
from heedful.feedback.judgements import FIRST, SECOND, TIE
from heedful.feedback.lone_pairs import LonePairs, lone_items
from heedful.feedback.orders import NO_TIES, davidson
from heedful.feedback.votes import Votes

Floats = NDArray[np.float64]
GOLD = 3.0  # log odds by which a rater who judges finds the right answer of a check
OWN = 1.5  # spread of the pairs' own gaps, for a consensus
SPREAD, SKILL, SKILL_SPREAD, LEAN = 2.0, 1.5, 1.0, 1.5  # of the priors


@dataclass(frozen=True, slots=True)
class Crowd:
    """The fitted model: A answers, R raters."""

    score: Floats  # (A,)
    skill: Floats  # (R,) γ: the share of votes that judge the answers
    skill_low: Floats  # (R,) 95 %, all else held at its estimate, the votes of one ranking taken together
    skill_high: Floats
    lean: Floats  # (R,) P(left) of a guess that is no tie; 0.5: no side
    own: Floats  # (I,) the gap of each pair beyond its answers' scores; 0 where none was asked for
    log_tie: float
    objective: float
    converged: bool

    def probabilities(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """P(first, second, tie) of a rater who judges the pairs that were voted on, in their order. -> (I, 3)"""
        return davidson(self.score[np.asarray(first)] - self.score[np.asarray(second)] + self.own, self.log_tie)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Votes as seen from the screen: which answer lay left, and whether the left one, the right one or none won."""

    item: NDArray[np.int64]
    side: Floats  # 1 where the pair's first answer lay left, else −1
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    rater: NDArray[np.int64]
    vote: NDArray[np.int64]
    placed: Floats  # 1 where the place on the screen is known
    weight: Floats
    known: Floats  # the gap that a check knows; NaN where nobody does
    checks: NDArray[np.int64]  # (3, C) first answer, second answer, the right verdict
    answers: int
    raters: int
    items: int
    ties: bool
    own: float  # spread of the pairs' own gaps; 0: they have none
    alone: NDArray[np.bool_]  # (V,) votes on pairs that stand alone
    lone: LonePairs

    @property
    def shared(self) -> int:
        """How many parameters stand before the pairs' own gaps."""
        return self.answers + 2 * self.raters + 1 + int(self.ties)

    def gaps(self, x: Floats) -> Floats:
        """u (I,)"""
        return x[self.shared :] if self.own else np.zeros(self.items)

    def split(self, x: Floats) -> tuple[Floats, Floats, Floats, float, float]:
        """s (A,), a (R,), b (R,), μ, log ν"""
        s, a, b = np.split(x[: self.answers + 2 * self.raters], [self.answers, self.answers + self.raters])
        tail = x[self.answers + 2 * self.raters :]
        return s, a, b, float(tail[0]), float(tail[1]) if self.ties else NO_TIES

    def responsibility(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Of each vote: P, P that it was judged, γ, D under the gap and under the lean."""
        s, a, b, _, log_tie = self.split(x)
        gap = s[self.left] - s[self.right] + self.side * self.gaps(x)[self.item]
        judged = davidson(np.where(np.isnan(self.known), gap, self.known), log_tie)
        guessed = davidson(b[self.rater] * self.placed, log_tie)
        rows = np.arange(len(self.vote))
        gamma = expit(a[self.rater])
        good = gamma * judged[rows, self.vote]
        p = good + (1 - gamma) * guessed[rows, self.vote]
        return p, good / p, gamma, judged, guessed

    def loss(self, x: Floats) -> tuple[float, Floats]:
        """Minus the log posterior, and its gradient."""
        s, a, b, mean, log_tie = self.split(x)
        p, h, gamma, judged, guessed = self.responsibility(x)
        w, v = self.weight, self.vote[self.alone]
        lone = self.lone.expect(gamma[self.alone], guessed[self.alone, v], log_tie)
        h[self.alone] = lone.judged
        tied = h * judged[:, 2]
        tied[self.alone] = lone.judged_tie
        won = np.eye(3)[self.vote]
        gap = h * w * (won[:, 0] - judged[:, 0] - won[:, 1] + judged[:, 1]) / 2  # ∂ log P / ∂ d
        gap = np.where(np.isnan(self.known) & ~self.alone, gap, 0.0)
        first, second, right = self.checks
        told, is_so = davidson(s[first] - s[second], log_tie), np.eye(3)[right]
        pull = (is_so[:, 0] - told[:, 0] - is_so[:, 1] + told[:, 1]) / 2
        lean = (1 - h) * w * self.placed * (won[:, 0] - guessed[:, 0] - won[:, 1] + guessed[:, 1]) / 2
        tie = w * (won[:, 2] - tied - (1 - h) * guessed[:, 2])
        value = (
            -float(w @ np.where(self.alone, 0.0, np.log(p)))
            - lone.value
            - float(np.log(told[np.arange(len(right)), right]).sum())
            + float(s @ s) / (2 * SPREAD**2)
            + float(((a - mean) ** 2).sum()) / (2 * SKILL_SPREAD**2)
            + (mean - SKILL) ** 2 / 2
            + float(b @ b) / (2 * LEAN**2)
        )
        grad_s = s / SPREAD**2 - np.bincount(self.left, gap, self.answers) + np.bincount(self.right, gap, self.answers)
        grad_s += np.bincount(second, pull, self.answers) - np.bincount(first, pull, self.answers)
        grad_a = (a - mean) / SKILL_SPREAD**2 - np.bincount(self.rater, w * (h - gamma), self.raters)
        grad_b = b / LEAN**2 - np.bincount(self.rater, lean, self.raters)
        grad_mean = mean - SKILL - float((a - mean).sum()) / SKILL_SPREAD**2
        grads: list[ArrayLike] = [grad_s, grad_a, grad_b, [grad_mean]]
        if self.ties:  # log ν ~ N(0, 2²): a handful of ties can't drive it away
            value += log_tie**2 / 8
            grads.append([log_tie / 4 - float(tie.sum()) - float((is_so - told)[:, 2].sum())])
        if self.own:
            u = self.gaps(x)
            value += float(u @ u) / (2 * self.own**2)
            grads.append(u / self.own**2 - np.bincount(self.item, self.side * gap, self.items))
        return value, np.concatenate([np.asarray(part, dtype=np.float64) for part in grads])


def _problem(votes: Votes, weight: ArrayLike | None, own: float = 0.0) -> _Problem:
    flipped = votes.left == SECOND
    first, second = votes.first[votes.item], votes.second[votes.item]
    mirrored = np.array([SECOND, FIRST, TIE])
    gap = np.array([GOLD, -GOLD, 0.0, np.nan])[votes.gold][votes.item]  # seen from the first answer; -1 is the last
    lone = lone_items(votes.item, votes.first, votes.second, votes.gold, votes.answers)
    alone = lone[votes.item]
    side, vote = np.where(flipped, -1.0, 1.0), np.where(flipped, mirrored[votes.choice], votes.choice)
    weights = np.ones(len(votes.item)) if weight is None else np.asarray(weight, dtype=np.float64)
    spread = float(np.sqrt(2 * SPREAD**2 + own**2))  # of the difference of two scores, and the pair's own
    checks = np.flatnonzero((votes.gold >= 0) & (np.bincount(votes.item, minlength=votes.items) > 0))
    return _Problem(
        item=votes.item,
        side=side,
        left=np.where(flipped, second, first),
        right=np.where(flipped, first, second),
        rater=votes.rater,
        vote=vote,
        placed=(votes.left >= 0).astype(np.float64),
        weight=weights,
        known=np.where(flipped, -gap, gap),
        checks=np.stack([votes.first[checks], votes.second[checks], votes.gold[checks]]),
        answers=votes.answers,
        raters=len(votes.raters),
        items=votes.items,
        ties=bool((votes.choice == TIE).any() or (votes.gold[checks] == TIE).any()),
        own=own,
        alone=alone,
        lone=LonePairs.of(votes.item[alone], side[alone], vote[alone], weights[alone], spread),
    )


def fit_crowd(votes: Votes, weight: ArrayLike | None = None, own: float = 0.0) -> Crowd:
    """Fit the model. weight: (V,) what each vote counts, 1 by default. own: spread of the pairs' own gaps; 0: none."""
    problem = _problem(votes, weight, own)
    raters = [np.full(problem.raters, SKILL), np.zeros(problem.raters), np.array([SKILL])]
    gaps = np.zeros(problem.items if own else 0)
    start = np.concatenate([np.zeros(problem.answers), *raters, np.full(int(problem.ties), -1.0), gaps])
    options = {"maxiter": 5000, "maxfun": 10000, "gtol": 1e-6, "ftol": 1e-11, "maxcor": 30}
    found = minimize(problem.loss, start, jac=True, method="L-BFGS-B", options=options)
    s, a, b, _, log_tie = problem.split(found.x)
    _, h, gamma, _, guessed = problem.responsibility(found.x)
    alone, s = problem.alone, s.copy()
    lone = problem.lone.expect(gamma[alone], guessed[alone, problem.vote[alone]], log_tie)
    h[alone] = lone.judged
    pairs = np.unique(problem.item[alone])
    s[votes.first[pairs]], s[votes.second[pairs]] = lone.gap / 2, -lone.gap / 2
    known = np.bincount(problem.rater, problem.weight * (gamma * (1 - gamma) - h * (1 - h)), problem.raters)
    effect = votes.design_effects(problem.weight * (h - gamma))
    se = 1 / np.sqrt(np.maximum(known / effect, 0.0) + SKILL_SPREAD**-2)  # −∂² log P / ∂ a², and the prior's
    return Crowd(
        score=s - s.mean() if len(s) else s,
        skill=expit(a),
        skill_low=expit(a - Z * se),
        skill_high=expit(a + Z * se),
        lean=expit(b),
        own=problem.gaps(found.x),
        log_tie=log_tie,
        objective=-float(found.fun),
        converged=bool(found.success),
    )
