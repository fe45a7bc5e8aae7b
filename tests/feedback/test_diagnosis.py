"""Diagnosis: planted faults are found, honest crowds are left in peace, signs are right."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heedful.feedback.crowd import fit_crowd
from heedful.feedback.diagnosis import (
    copying,
    diagnose,
    drift_findings,
    length_findings,
    length_slope,
    others_share,
    position_findings,
    position_test,
    vote_weights,
)
from heedful.feedback.votes import FIRST

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
