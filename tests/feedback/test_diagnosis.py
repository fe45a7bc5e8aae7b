"""Diagnosis: planted faults are found, honest crowds are left in peace, signs are right."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from heedful.feedback.crowd import fit_crowd
from heedful.feedback.diagnosis import (
    EXACT,
    careless_findings,
    copying,
    diagnose,
    drift_findings,
    lead_chance,
    length_findings,
    length_slope,
    others_share,
    position_findings,
    position_test,
    vote_weights,
    within,
)
from heedful.feedback.judgements import FIRST, Judgement
from heedful.feedback.votes import Votes, collect_votes
from heedful.records import Message, Prompt

sys.path.insert(0, str(Path(__file__).parent))
from crowds import Planted, majority, planted

HONEST = ("honest",) * 8


def named(crowd: Planted, role: str) -> set[str]:
    return {name for name in crowd.votes.raters if name.startswith(role)}


def test_a_planted_side_is_found_and_only_it() -> None:
    crowd = planted(0, roles=(*HONEST, "left", "left"))
    found = position_findings(crowd.votes)
    assert {name for f in found for name in f.raters} == named(crowd, "left")
    assert all(0.8 < f.value < 1 and "left" in f.sentence for f in found)
    test = position_test(crowd.votes)
    assert test.low > 0.5 and test.p < 1e-4 and test.votes == len(crowd.votes.item)
    mirrored = replace(crowd.votes, left=1 - crowd.votes.left)
    assert position_test(mirrored).rate == pytest.approx(1 - test.rate)


def test_the_chance_of_a_lead_by_hand() -> None:
    """±3 ±1 ±1: a sum of 5 or more either way in two of eight cases; single votes are the binomial test."""
    assert lead_chance(np.array([3, 1, 0, 1])) == lead_chance(np.array([-3, -1, -1])) == pytest.approx(2 / 8)
    assert lead_chance(np.array([3, -1, 1])) == pytest.approx(6 / 8) and lead_chance(np.array([1, -1])) == 1
    for left, total in ((14, 16), (3, 40), (290, EXACT + 60)):
        single = np.where(np.arange(total) < left, 1, -1)
        assert lead_chance(single) == pytest.approx(stats.binomtest(left, total).pvalue, rel=0.03)
    rng = np.random.default_rng(0)
    assert np.mean([lead_chance(rng.choice([-6, -2, 2, 6], EXACT + 1)) < 0.05 for _ in range(400)]) < 0.09


def rankings(seed: int, answers: int, *, sets: int = 60, first: float = 0.0, change: int = 0, copies: int = 0) -> Votes:
    """Eight raters rank sets of answers, three a set, by their own noisy look.

    first: what the answer shown first gains.
    change: the ranking from which r0 ranks by chance. copies: so many raters say what the first of them said.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(sets):
        quality = rng.normal(size=answers)
        prompt = Prompt(id=str(number), messages=(Message("user", f"question {number}"),))
        copied = rng.normal(size=answers)
        for rater in rng.choice(8, 3, replace=False):
            shown = rng.permutation(answers)
            score = quality + 0.7 * rng.normal(size=answers)
            if rater == 0 and number >= change > 0:
                score = rng.normal(size=answers)
            score = copied if rater < copies else score
            score[shown[0]] += first
            ranks = np.argsort(np.argsort(-score)).tolist()
            found.append(
                Judgement(
                    prompt=prompt,
                    completions=tuple(f"{number}.{place}" for place in range(answers)),
                    value={"ranks": ranks},
                    rater=f"r{rater}",
                    shown=tuple(shown.tolist()),
                    at=1e9 + len(found),
                )
            )
    return collect_votes(found)


def of_any_length(votes: Votes) -> Votes:
    """The same votes on answers whose lengths say nothing."""
    return replace(votes, length=np.exp(np.random.default_rng(0).normal(5, 1, votes.answers)))


def test_honest_rankers_are_left_in_peace() -> None:
    """The 36 votes of a ranking of nine are no 36 witnesses: at 5 % each, few of twelve crowds may hold a finding."""
    crowds = [rankings(seed, 9) for seed in range(12)]
    assert sum(bool(position_findings(votes)) for votes in crowds) <= 2
    assert sum(position_test(votes).p < 0.05 for votes in crowds) <= 2
    assert sum(bool(drift_findings(votes)) for votes in crowds) <= 2
    assert sum(bool(copying(votes)) for votes in crowds) <= 2
    assert sum(bool(length_findings(votes)) for votes in map(of_any_length, crowds)) <= 2
    assert sum(bool(careless_findings(votes, fit_crowd(votes))) for votes in crowds[:4]) == 0
    covered = [test.low <= 0.5 <= test.high for test in map(position_test, crowds)]
    assert sum(covered) >= 10, "the interval is as wide as the test is careful"


def test_faults_of_rankers_are_found() -> None:
    """Fewer witnesses, but enough."""
    leaning = rankings(0, 4, first=2.0)
    found = position_findings(leaning)
    assert len(found) == 8 and "rankings" in found[0].sentence and position_test(leaning).low > 0.55
    assert [f.raters for f in drift_findings(rankings(1, 9, sets=160, change=80))] == [("r0",)]
    assert [set(f.raters) for f in copying(rankings(2, 9, sets=160, copies=3))] == [{"r0", "r1", "r2"}]
    careless = rankings(3, 5, sets=160, change=1)
    assert [f.raters for f in careless_findings(careless, fit_crowd(careless))] == [("r0",)]
    few = rankings(0, 4, first=2.0)
    few = few.only(few.sheet < 9)
    assert len(few.item) > 40 and not position_findings(few), "nine rankings are fewer than ten, whatever their votes"


def test_the_votes_of_one_ranking_count_as_what_they_are_worth() -> None:
    """By hand: votes that agree within a ranking of three count a third; opposite and single ones, as they are."""
    votes = rankings(0, 3, sets=2)
    votes = votes.only(votes.rater == votes.rater[0])
    rater = int(votes.rater[0])
    pairs = len(votes.item)
    assert votes.judgements()[rater] == pairs / 3
    assert votes.design_effects(np.ones(pairs))[rater] == pytest.approx(3)
    assert votes.design_effects(np.tile([1.0, -1.0, 0.0], pairs // 3))[rater] == 1
    assert (replace(votes, sheet=np.arange(pairs)).design_effects(np.ones(pairs)) == 1).all()


def test_what_clusters_have_in_common() -> None:
    """ρ by hand for two clusters of two in one group, and found again where it was planted."""
    hand = within(np.array([1.0, 3.0, 5.0, 7.0]), np.array([0, 0, 1, 1]), np.array([0, 0]))
    assert hand == pytest.approx((16 - 2) / (16 + 2)), "between 16, inside 2"
    rng = np.random.default_rng(0)
    cluster, of = np.repeat(np.arange(400), 5), np.repeat(np.arange(40), 10)
    value = rng.normal(size=400)[cluster] + np.sqrt(3) * rng.normal(size=2000) + 9 * of[cluster]
    assert within(value, cluster, of) == pytest.approx(0.25, abs=0.05)
    assert within(value[:3], np.arange(3), np.zeros(3, dtype=int)) == 0, "single votes have nothing in common"


def test_the_slope_of_length_by_hand_and_by_sign() -> None:
    """Three of four votes go to an answer of twice the length: log odds ln 3 a doubling."""
    votes = planted(1, roles=HONEST, prompts=1, answers=2, overlap=4).votes
    votes = replace(votes, length=np.array([100.0, 50.0]), choice=np.array([0, 0, 0, 1]))
    found = length_slope(votes)
    assert found.slope.mean == pytest.approx(np.log(3), abs=1e-2) and found.longer == 0.75
    swapped = length_slope(replace(votes, length=np.array([50.0, 100.0])))
    assert swapped.slope.mean == pytest.approx(-np.log(3), abs=1e-2)


def test_those_who_like_length_are_found() -> None:
    crowd = planted(2, roles=(*HONEST, "length", "length"), prompts=80)
    assert {name for f in length_findings(crowd.votes) for name in f.raters} == named(crowd, "length")
    assert length_slope(crowd.votes).slope.low > 0


def test_colluders_are_found_weighed_down_and_no_longer_win() -> None:
    gains = []
    for seed in range(6):
        crowd = planted(seed, roles=(*HONEST, *("colluder",) * 4))
        found = copying(crowd.votes)
        assert [set(f.raters) for f in found] == [named(crowd, "colluder")], seed
        weight = vote_weights(crowd.votes, found)
        p = fit_crowd(crowd.votes, weight).probabilities(crowd.votes.first, crowd.votes.second)[:, 0]
        share = majority(crowd.votes)
        first = crowd.truth == FIRST
        gains.append(np.where(first, p > 0.5, p < 0.5).mean() - np.where(first, share, 1 - share).mean())
    assert np.mean(gains) - 2.57 * np.std(gains, ddof=1) / np.sqrt(6) > 0


def test_weights_make_copies_one_vote() -> None:
    crowd = planted(0, roles=(*HONEST, *("colluder",) * 4))
    weight = vote_weights(crowd.votes, copying(crowd.votes))
    copied = np.array([name.startswith("colluder") for name in crowd.votes.raters])[crowd.votes.rater]
    per_item = np.bincount(crowd.votes.item[copied], weight[copied])
    assert np.allclose(per_item[per_item > 0], 1) and (weight[~copied] == 1).all()


def test_an_honest_crowd_is_left_in_peace() -> None:
    """At 5 % for each of five kinds over the whole crowd, few of ten crowds may hold a finding."""
    found = [diagnose(v, fit_crowd(v)) for seed in range(10) for v in [planted(100 + seed, roles=HONEST).votes]]
    assert sum(map(len, found)) <= 4, found


def test_a_rater_who_stops_judging_is_found() -> None:
    crowd = planted(5, roles=HONEST, prompts=100)
    votes, rng = crowd.votes, np.random.default_rng(0)
    late = (votes.rater == 3) & (votes.at > np.median(votes.at))
    changed = replace(votes, choice=np.where(late, rng.integers(0, 2, len(late)), votes.choice))
    found = drift_findings(changed)
    assert [f.raters for f in found] == [(votes.raters[3],)] and found[0].value < 0
    assert "less" in found[0].sentence and not drift_findings(votes)
    assert not drift_findings(replace(changed, at=np.zeros(len(late)))), "without times there is no drift to see"


def test_the_others_share_leaves_the_voter_out() -> None:
    votes = planted(0, roles=HONEST, prompts=1, answers=2, overlap=3).votes
    votes = replace(votes, choice=np.array([0, 0, 1]))
    assert others_share(votes) == pytest.approx([(1 + 1) / 4, (1 + 1) / 4, (2 + 1) / 4])


def test_findings_of_all_kinds_stand_together() -> None:
    crowd = planted(7, roles=(*HONEST, "careless", "careless", "left", "length"), prompts=100)
    found = diagnose(crowd.votes, fit_crowd(crowd.votes))
    by_kind = {kind: {n for f in found if f.kind == kind for n in f.raters} for kind in {f.kind for f in found}}
    assert by_kind["position"] == named(crowd, "left")
    assert named(crowd, "careless") <= by_kind["careless"]
    assert by_kind["length"] >= named(crowd, "length")
