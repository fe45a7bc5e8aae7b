"""The reward report: accuracy beside ceiling, truth and length, by hand and in simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heedful.evaluate.reward_report import (
    calibration,
    judged_pairs,
    ladder_figures,
    reward_report,
    sentence,
    with_truth,
)
from heedful.records import Message, Prompt, Ranking


def ranking(name: str, texts: tuple[str, ...], ranks: tuple[int, ...], family: str = "f") -> Ranking:
    prompt = Prompt(id=name, messages=(Message("user", name),), meta={"family": family})
    return Ranking(prompt=prompt, completions=texts, ranks=ranks, rater="r", rater_kind="simulated")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_hand_worked_report() -> None:
    # gold a > b > c; the rater puts b first; the model scores a 2, b 1, c 0
    one = with_truth(ranking("1", ("a a", "b", "c c c"), (1, 0, 2)), gold=(0.9, 0.5, 0.1), p=(0.8, 0.9, 0.7))
    report = reward_report([one], [2.0, 1.0, 0.0], rng())
    assert report["pairs"] == 3 and report["prompts"] == 1 and report["ties"] == 0.0
    assert report["accuracy"] == pytest.approx(2 / 3, abs=1e-4)  # wrong on b over a only
    assert report["ceiling"] == pytest.approx((0.8 + 0.9 + 0.7) / 3, abs=1e-4)
    assert report["gold_on_labels"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["labels_against_gold"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["gold_agreement"] == 1.0
    assert report["short_of_gold"] == 0.0
    assert report["longer_wins"] == 0.0 and report["length_only"] == 1.0  # the shorter one always won: its better sign


def test_the_truth_is_turned_to_the_winner() -> None:
    one = with_truth(ranking("1", ("a", "b"), (1, 0)), gold=(0.2, 0.6), p=(0.3,))
    pairs = judged_pairs([one])
    assert pairs.p[0] == pytest.approx(0.7)  # b won, and p was given for a over b
    assert pairs.gold[0] == pytest.approx(0.4)
    assert (pairs.first[0], pairs.second[0]) == (1, 0)


def test_ties_count_half() -> None:
    report = reward_report([ranking("1", ("a", "b"), (0, 0))], [3.0, 1.0], rng())
    assert report["accuracy"] == 0.5 and report["ties"] == 1.0


def test_no_truth_is_no_figure() -> None:
    report = reward_report([ranking("1", ("a", "b"), (0, 1))], [1.0, 0.0], rng())
    assert report["ceiling"] is None and report["gold_on_labels"] is None and report["gold_agreement"] is None
    assert "short_of_gold" not in report
    assert "accuracy 100.0%" in sentence(report)


def test_nothing_held_out_is_said() -> None:
    report = reward_report([], [], rng())
    assert sentence(report) == "no held-out judgements to report on"
    assert report["pairs"] == 0 and report["accuracy"] is None and report["length_only"] is None


def test_families_are_reported_apart() -> None:
    rankings = [ranking("1", ("a", "b"), (0, 1), "sums"), ranking("2", ("a", "b"), (0, 1), "harm")]
    families = reward_report(rankings, [1.0, 0.0, 0.0, 1.0], rng())["families"]
    assert families["sums"]["accuracy"] == 1.0 and families["harm"]["accuracy"] == 0.0


def test_scores_are_read_in_the_order_of_the_rankings() -> None:
    rankings = [ranking("1", ("a", "b", "c"), (0, 1, 2)), ranking("2", ("d", "e"), (1, 0))]
    assert reward_report(rankings, [3.0, 2.0, 1.0, 0.0, 5.0], rng())["accuracy"] == 1.0


def simulate(count: int = 4000) -> tuple[list[Ranking], list[float]]:
    """Pairs whose labels follow σ(gap): the scores are the true log-odds."""
    draw = np.random.default_rng(1)
    scores = draw.normal(size=(count, 2)) * 1.5
    wins = draw.random(count) < 1 / (1 + np.exp(scores[:, 1] - scores[:, 0]))
    p = 1 / (1 + np.exp(scores[:, 1] - scores[:, 0]))
    rankings = [
        with_truth(ranking(str(i), ("a", "b"), (0, 1) if wins[i] else (1, 0)), scores[i].tolist(), (float(p[i]),))
        for i in range(count)
    ]
    return rankings, scores.ravel().tolist()


def test_true_log_odds_reach_the_ceiling_and_are_calibrated() -> None:
    rankings, scores = simulate()
    report = reward_report(rankings, scores, rng())
    assert report["accuracy"] == pytest.approx(report["ceiling"], abs=0.02)
    assert report["low"] < report["ceiling"] < report["high"]
    assert report["accuracy"] == report["gold_on_labels"] and report["gold_agreement"] == 1.0
    assert report["calibration"]["ece"] < 0.03


def test_overconfident_scores_are_told_apart() -> None:
    rankings, scores = simulate()
    pairs = judged_pairs(rankings)
    gap = np.asarray(scores)[pairs.first] - np.asarray(scores)[pairs.second]
    good, loud = calibration(gap, pairs.target), calibration(4 * gap, pairs.target)
    assert loud["ece"] > 3 * good["ece"]
    assert loud["brier"] > good["brier"] and loud["nll"] > good["nll"]


def test_calibration_by_hand() -> None:
    # one pair right at confidence σ(1) = .7311, one wrong at the same confidence
    figures = calibration(np.array([1.0, -1.0]), np.array([1.0, 1.0]), bins=1)
    assert figures["ece"] == pytest.approx(0.2311, abs=1e-4)
    assert figures["brier"] == pytest.approx((0.2689**2 + 0.7311**2) / 2, abs=1e-4)
    assert figures["nll"] == pytest.approx((0.3133 + 1.3133) / 2, abs=1e-4)


def test_ladder_counts_whole_orders_and_each_pair_of_rungs() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 2.0, 0.0], [3.0, 2.0, 2.0]])
    prompts = [Prompt(id=str(i), messages=(Message("user", str(i)),)) for i in range(4)]
    figures = ladder_figures(prompts, scores, rng())
    assert figures["right_order"] == 0.25 and figures["low"] < 0.25 < figures["high"]
    assert [(pair["better"], pair["worse"], pair["rate"]) for pair in figures["pairs"]] == [
        ("detailed", "vague", 0.75),
        ("detailed", "wrong", 1.0),
        ("vague", "wrong", 0.5),
    ]
    assert figures["pairs"][1]["low"] == pytest.approx(0.5101, abs=1e-4)  # Wilson: four of four is no certainty
    assert figures["mean_scores"] == [2.5, 1.75, 1.25]


def test_prompts_of_one_template_widen_the_ladders_interval() -> None:
    """Twelve prompts that stand or fall by their template know less than twelve that stand alone."""
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])[[i // 3 % 2 for i in range(12)]]
    meta = [{"template": f"t{i // 3}"} for i in range(12)]
    alone = [Prompt(id=str(i), messages=(Message("user", str(i)),)) for i in range(12)]
    shared = [replace(prompt, meta=one) for prompt, one in zip(alone, meta, strict=True)]
    wide, narrow = (ladder_figures(prompts, scores, rng()) for prompts in (shared, alone))
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_the_bootstrap_draws_prompts_by_what_they_ask() -> None:
    same, other = ranking("1", ("a", "b"), (0, 1)), ranking("2", ("a", "b"), (0, 1))
    other = replace(other, prompt=replace(other.prompt, id="1"))
    assert reward_report([same, other, same], [1.0, 0.0] * 3, rng())["prompts"] == 2


def test_one_prompt_tells_nothing_of_others() -> None:
    """All three of its pairs right: that is no certainty."""
    found = reward_report([ranking("p", ("a", "b", "c"), (0, 1, 2))], [3.0, 2.0, 1.0], rng())
    assert (found["accuracy"], found["low"], found["high"]) == (1.0, 0.0, 1.0)
