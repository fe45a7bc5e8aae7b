"""The crowd's Bradley-Terry: its gradient, its symmetries, and planted raters found."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from heedful.feedback.crowd import OWN, SKILL, _problem, fit_crowd
from heedful.feedback.judgements import FIRST, SECOND, TIE
from heedful.feedback.orders import bradley_terry

sys.path.insert(0, str(Path(__file__).parent))
from crowds import majority, planted

HONEST = ("honest",) * 7


@pytest.mark.parametrize("own", [0.0, 0.8], ids=["scores", "own gaps"])
@pytest.mark.parametrize("checks", [False, True], ids=["no check", "checks"])
@pytest.mark.parametrize("ties", [False, True], ids=["decided", "with ties"])
def test_gradient_equals_differences(ties: bool, checks: bool, own: float) -> None:
    """At a point away from every zero, with ties, weights, places on the screen unknown, and right answers."""
    votes = planted(0, roles=("honest", "left", "careless"), prompts=3, overlap=2).votes
    rng = np.random.default_rng(0)
    left = np.where(rng.random(len(votes.left)) < 0.2, -1, votes.left)
    choice = np.where(rng.random(len(votes.choice)) < 0.3, TIE, votes.choice) if ties else votes.choice
    gold = (
        np.where(np.arange(votes.items) % 3 == 0, rng.integers(0, 2 + ties, votes.items), -1) if checks else votes.gold
    )
    problem = _problem(replace(votes, left=left, choice=choice, gold=gold), rng.uniform(0.5, 2, len(left)), own)
    x = rng.normal(0, 0.7, votes.answers + 6 + 1 + ties + (votes.items if own else 0))
    value, grad = problem.loss(x)
    numeric = approx_fprime(x, lambda point: problem.loss(point)[0], 1e-6)
    assert np.isfinite(value) and len(grad) == len(x)
    assert np.abs(grad - numeric).max() < 1e-4 and np.abs(grad).min() > 1e-6


@pytest.mark.parametrize("own", [0.0, 0.8], ids=["scores", "own gaps"])
def test_gradient_equals_differences_where_pairs_stand_alone(own: float) -> None:
    """Beside pairs that do not, with ties and weights."""
    alone = planted(0, roles=("honest", "left", "careless"), prompts=7, answers=2, overlap=3).votes
    rng = np.random.default_rng(0)
    joined = alone.second.copy()
    joined[1] = alone.second[0]  # two pairs share an answer
    choice = np.where(rng.random(len(alone.choice)) < 0.3, TIE, alone.choice)
    votes = replace(alone, second=joined, choice=choice)
    problem = _problem(votes, rng.uniform(0.5, 2, len(choice)), own)
    assert 0 < problem.alone.sum() < len(choice)
    x = rng.normal(0, 0.7, votes.answers + 6 + 2 + (votes.items if own else 0))
    grad = problem.loss(x)[1]
    assert np.abs(grad - approx_fprime(x, lambda point: problem.loss(point)[0], 1e-6)).max() < 1e-4


@pytest.mark.parametrize("own", [0.0, OWN], ids=["skill", "consensus"])
def test_a_coin_among_three_is_found_where_each_prompt_has_one_pair(own: float) -> None:
    """Gaps that are fitted bend to their own three votes, and the coin would look like the best of all."""
    for seed in range(4):
        crowd = planted(seed, roles=("honest", "honest", "careless"), prompts=300, answers=2, overlap=3)
        model = fit_crowd(crowd.votes, own=own)
        assert model.converged
        assert model.skill[:2].min() > 0.7
        assert model.skill_high[2] < 0.5, "careless beyond doubt"
        p = model.probabilities(crowd.votes.first, crowd.votes.second)[:, 0]
        right = np.where(crowd.truth == FIRST, p > 0.5, p < 0.5).mean()
        share = majority(crowd.votes)
        assert right >= np.where(crowd.truth == FIRST, share, 1 - share).mean() - 0.02


def test_a_pair_may_go_against_its_answers_scores() -> None:
    """a beats b, b beats c, and c beats a whoever is asked: no scores say that, gaps of their own do."""
    votes = planted(5, roles=HONEST, prompts=1, answers=3, overlap=7).votes
    first, second = votes.first[votes.item], votes.second[votes.item]
    ring = replace(votes, choice=np.where((second - first) % 3 == 1, FIRST, SECOND))
    p = fit_crowd(ring).probabilities(votes.first, votes.second)
    own = fit_crowd(ring, own=OWN)
    q = own.probabilities(votes.first, votes.second)
    right = np.where((votes.second - votes.first) % 3 == 1, FIRST, SECOND)
    assert p[:, :2] == pytest.approx(np.full((3, 2), 0.5), abs=0.05), "a ring has no order"
    assert q[np.arange(3), right].min() > 0.8 and np.abs(own.own).max() < 4


def test_own_gaps_give_what_an_answer_won_elsewhere_to_a_pair_with_one_vote() -> None:
    crowd = planted(6, roles=HONEST, prompts=12, answers=12, overlap=1)
    votes, truth = crowd.votes, crowd.truth
    p = fit_crowd(votes, own=OWN).probabilities(votes.first, votes.second)
    alone = votes.choice[np.argsort(votes.item)]
    assert (np.where(p[:, 0] > p[:, 1], FIRST, SECOND) == truth).mean() > (alone == truth).mean() + 0.02


def test_swapping_an_items_sides_changes_nothing() -> None:
    votes = planted(1, roles=("honest", "left", "careless"), prompts=8, overlap=2).votes
    mirror = np.array([SECOND, FIRST, TIE])
    swapped = replace(
        votes, first=votes.second, second=votes.first, choice=mirror[votes.choice], left=mirror[votes.left]
    )
    one, two = fit_crowd(votes), fit_crowd(swapped)
    assert one.score == pytest.approx(two.score, abs=1e-4) and one.skill == pytest.approx(two.skill, abs=1e-4)
    assert one.lean == pytest.approx(two.lean, abs=1e-4)


def test_checks_tell_who_judges_where_the_votes_alone_cannot() -> None:
    """Two honest raters against three who always say the opposite."""
    rng = np.random.default_rng(0)
    votes = planted(3, roles=("honest",) * 5, prompts=40, answers=2, overlap=5).votes
    truth = rng.integers(0, 2, votes.items)
    choice = np.where(votes.rater < 2, truth[votes.item], 1 - truth[votes.item])
    plain = fit_crowd(replace(votes, choice=choice))
    assert plain.skill[:2].max() < plain.skill[2:].min()
    checked = fit_crowd(replace(votes, choice=choice, gold=np.where(np.arange(votes.items) < 20, truth, -1)))
    assert checked.skill[:2].min() > 0.8 and checked.skill[2:].max() < 0.5
    unseen = np.arange(votes.items) >= 20
    side = np.where(checked.score[votes.first] > checked.score[votes.second], FIRST, SECOND)
    assert (side == truth)[unseen].mean() > 0.95


def test_a_check_that_nobody_answered_teaches_nothing() -> None:
    votes = planted(4, roles=HONEST, prompts=6).votes
    some = votes.only(votes.item != 0)
    with_gold = replace(some, gold=np.where(np.arange(votes.items) == 0, FIRST, -1))
    assert fit_crowd(with_gold).score == pytest.approx(fit_crowd(some).score, abs=1e-6)


def test_a_preference_has_the_right_sign() -> None:
    votes = planted(2, roles=HONEST, prompts=20).votes
    crowd = fit_crowd(votes)
    plain = bradley_terry(votes.first, votes.second, votes.counts(), votes.answers, ridge=0.25)
    assert crowd.converged
    assert np.corrcoef(crowd.score, plain.score)[0, 1] > 0.98, "honest raters: nearly the plain model"
    p = crowd.probabilities(votes.first, votes.second)
    assert (
        np.allclose(p.sum(1), 1)
        and ((p[:, 0] > p[:, 1]) == (crowd.score[votes.first] > crowd.score[votes.second])).all()
    )


@pytest.mark.parametrize("spoilers", [("careless",) * 4, ("left",) * 4, ("length",) * 3], ids=lambda s: s[0])
def test_finds_planted_raters_and_beats_the_majority(spoilers: tuple[str, ...]) -> None:
    gains, found = [], []
    for seed in range(8):
        crowd = planted(seed, roles=(*HONEST, *spoilers))
        model = fit_crowd(crowd.votes)
        p = model.probabilities(crowd.votes.first, crowd.votes.second)[:, 0]
        ours = np.where(crowd.truth == FIRST, p > 0.5, p < 0.5).mean()
        share = majority(crowd.votes)
        plain = np.where(crowd.truth == FIRST, share, 1 - share).mean()
        gains.append(ours - plain)
        found.append(model.skill[:7].min() > model.skill[7:].max())
        if spoilers[0] == "left":
            assert model.lean[7:].min() > 0.75
            assert model.skill[7:].max() < 0.4
    assert np.mean(found) >= 0.85, "every honest rater stands above every planted one"
    low = np.mean(gains) - 2.36 * np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert low > 0.0, f"gain {np.mean(gains):.3f}, from {low:.3f}"


def test_few_votes_leave_a_rater_as_good_as_the_others() -> None:
    crowd = planted(3, roles=(*HONEST, "honest"), prompts=40)
    votes = crowd.votes
    rare = votes.only((votes.rater != 7) | (np.cumsum(votes.rater == 7) <= 2))
    model = fit_crowd(rare)
    assert model.skill[7] == pytest.approx(np.median(model.skill[:7]), abs=0.2)
    assert model.skill_high[7] - model.skill_low[7] > 1.4 * (model.skill_high - model.skill_low)[:7].mean()
    none = fit_crowd(votes.only(votes.rater < 0))
    assert none.skill == pytest.approx(1 / (1 + np.exp(-SKILL))), "without votes there is the prior alone"
