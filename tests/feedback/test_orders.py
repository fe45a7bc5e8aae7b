"""Bradley-Terry and Plackett-Luce: independent oracles, hand-worked values, laws."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.feedback.orders import bradley_terry, davidson, plackett_luce


def centred(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores) - np.mean(scores)


def test_two_answers_by_hand() -> None:
    found = bradley_terry([0], [1], [[3.0, 1.0, 0.0]], 2, ridge=1e-9)
    assert found.score[0] - found.score[1] == pytest.approx(np.log(3), abs=1e-6)
    assert found.se[0] == pytest.approx(0.5 / np.sqrt(4 * 0.75 * 0.25), rel=1e-3), "half of the gap's √(1/(n p q))"


def test_ties_by_hand() -> None:
    """Davidson on one pair fits any three shares: gap = ln(w/l), ν = t/√(w l)."""
    found = bradley_terry([0], [1], [[6.0, 2.0, 4.0]], 2, ridge=1e-9)
    assert found.score[0] - found.score[1] == pytest.approx(np.log(3), abs=1e-6)
    assert found.log_tie == pytest.approx(np.log(4 / np.sqrt(12)), abs=1e-6)
    assert davidson(np.array([np.log(3)]), found.log_tie)[0] == pytest.approx([0.5, 1 / 6, 1 / 3], abs=1e-6)


def test_bradley_terry_equals_choix() -> None:
    choix = pytest.importorskip("choix")
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.permutation(6)[:2]) for _ in range(80)]
    expected = choix.opt_pairwise(6, pairs, alpha=0.05, tol=1e-14)
    winners, losers = zip(*pairs, strict=True)
    found = bradley_terry(winners, losers, [[1.0, 0.0, 0.0]] * 80, 6, ridge=0.1)
    assert np.abs(centred(found.score) - centred(expected)).max() < 1e-9


def test_plackett_luce_equals_choix() -> None:
    choix = pytest.importorskip("choix")
    rng = np.random.default_rng(1)
    orders = [rng.permutation(5)[: rng.integers(2, 6)] for _ in range(30)]
    expected = choix.opt_rankings(5, orders, alpha=0.05, tol=1e-9)
    found = plackett_luce([(order, np.arange(len(order))) for order in orders], 5, ridge=0.1)
    assert np.abs(centred(found.score) - centred(expected)).max() < 1e-7, "its optimiser stops at about 1e-8"
    slope = choix.opt.Top1Fcts.from_rankings(orders, 0.05).gradient(found.score)
    assert np.abs(slope).max() < 1e-9, "at our maximum its own gradient vanishes"


def test_plackett_luce_of_pairs_is_bradley_terry() -> None:
    pairs = [(0, 1), (1, 2), (0, 2), (2, 0), (1, 0)]
    by_rank = plackett_luce([(pair, (0, 1)) for pair in pairs], 3, ridge=0.1)
    winners, losers = zip(*pairs, strict=True)
    by_pair = bradley_terry(winners, losers, [[1.0, 0.0, 0.0]] * 5, 3, ridge=0.1)
    assert by_rank.score == pytest.approx(by_pair.score, abs=1e-9)


def test_ranks_tell_the_order_whatever_the_places() -> None:
    one = plackett_luce([([2, 0, 1], [0, 1, 2]), ([0, 1, 2], [1, 1, 0])], 3, ridge=0.1)
    two = plackett_luce([([0, 1, 2], [1, 2, 0]), ([2, 1, 0], [0, 1, 1])], 3, ridge=0.1)
    assert one.score == pytest.approx(two.score, abs=1e-9)
    assert one.score.argmax() == 2


def test_an_answer_that_always_wins_has_a_finite_score() -> None:
    found = bradley_terry([0, 0], [1, 2], [[5.0, 0, 0], [5.0, 0, 0]], 3, ridge=0.01)
    assert np.isfinite(found.score).all() and found.score.argmax() == 0


def test_swapping_sides_flips_signs() -> None:
    votes = np.array([[5.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    one = bradley_terry([0, 1], [1, 2], votes, 3, ridge=0.1)
    two = bradley_terry([1, 2], [0, 1], votes[:, [1, 0, 2]], 3, ridge=0.1)
    assert one.score == pytest.approx(two.score, abs=1e-10) and one.log_tie == pytest.approx(two.log_tie, abs=1e-10)
    three = bradley_terry([0, 1], [1, 2], votes[:, [1, 0, 2]], 3, ridge=0.1)
    assert three.score == pytest.approx(-one.score, abs=1e-10)
