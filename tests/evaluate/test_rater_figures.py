"""Raters on the axis of a model: each against the majority of the others, by hand, and where the ceiling is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from heedful.evaluate.rater_figures import FEWEST, rater_figures
from heedful.evaluate.reward_report import judged_pairs, reward_report, sentence
from heedful.evaluate.vote_ceiling import leave_one_out, vote_ceiling
from heedful.records import Message, Prompt, Ranking


def vote(name: str, rater: str, first_wins: float, *, turned: bool = False) -> Ranking:
    """A vote on the answers "a" and "b" to a prompt; turned: the file holds "b" first."""
    rank = {1.0: (0, 1), 0.0: (1, 0), 0.5: (0, 0)}[first_wins]
    texts, ranks = (("b", "a"), rank[::-1]) if turned else (("a", "b"), rank)
    prompt = Prompt(id=name, messages=(Message("user", f"question {name}"),))
    return Ranking(prompt=prompt, completions=texts, ranks=ranks, rater=rater, rater_kind="human")


def votes(split: Sequence[float], prompts: int = FEWEST) -> list[Ranking]:
    """The same votes by as many raters on every prompt, every second one with its answers in the other order."""
    return [
        vote(str(p), f"r{k}", said, turned=bool((p + k) % 2)) for p in range(prompts) for k, said in enumerate(split)
    ]


def report(rankings: list[Ranking]) -> dict[str, object]:
    """Of a model that always prefers "a"."""
    scores = [1.0 if text == "a" else 0.0 for ranking in rankings for text in ranking.completions]
    return reward_report(rankings, scores, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("split", "agree"),
    [
        ((1.0, 1.0, 0.0), 1 / 3),  # the two see 1 : 1, half right; the third sees 2 : 0 against itself
        ((1.0, 1.0, 1.0), 1.0),
        ((1.0, 0.5), 0.5),  # who says tie can't be guessed; who prefers sees no majority
        ((1.0, 1.0, 0.5), (1 + 1 + 0.5) / 3),
    ],
)
def test_each_against_the_others_by_hand(split: tuple[float, ...], agree: float) -> None:
    found = report(votes(split))
    assert found["raters_agree"] == pytest.approx(agree, abs=1e-4)
    assert found["overlapping"] == found["overlapping_prompts"] == FEWEST
    assert found["raters_agree_low"] == found["raters_agree_high"] == found["raters_agree"]  # all prompts are alike


def test_three_votes_of_people_set_the_axis() -> None:
    draw = np.random.default_rng(3)
    p = draw.beta(1.0, 1.0, size=400)
    rankings = [
        vote(str(i), f"r{k}", float(draw.random() < p[i]), turned=bool(draw.random() < 0.5))
        for i in range(400)
        for k in range(3)
    ]
    found = report(rankings)
    pairs = judged_pairs(rankings)
    first = np.bincount(pairs.pair, pairs.said).astype(int).tolist()
    assert found["raters_agree"] == pytest.approx(leave_one_out(first, [3] * 400), abs=1e-4)
    assert found["ceiling"] == pytest.approx(vote_ceiling(first, [3] * 400), abs=1e-4)
    assert found["ceiling_low"] < 0.75 < found["ceiling_high"]  # type: ignore[operator] # E max(p, 1 − p) of Beta(1, 1)
    assert found["ceiling_high"] - found["ceiling_low"] < 0.1  # type: ignore[operator]
    assert found["raters_agree_low"] < found["raters_agree"] < found["raters_agree_high"] < 0.75  # type: ignore[operator]
    assert len(found["published"]) == 5  # type: ignore[arg-type]
    line = sentence(found)
    assert "the majority of the others 6" in line and "on the 400 pairs that several raters judged" in line
    assert "ceiling 7" in line and "not enough data" not in line


def test_below_the_floor_it_is_said() -> None:
    found = report(votes((1.0, 1.0, 0.0), FEWEST - 1))
    assert "raters_agree" not in found and found["ceiling"] is None and found["overlapping_prompts"] == FEWEST - 1
    assert f"not enough data ({FEWEST - 1} of {FEWEST} prompts judged by two)" in sentence(found)
    assert "published" not in found


def test_the_same_rater_twice_and_nobody_by_name_are_no_two_raters() -> None:
    twice = [replace(ranking, rater="r0") for ranking in votes((1.0, 1.0))]
    unnamed = [replace(ranking, rater="") for ranking in votes((1.0, 1.0))]
    assert report(twice)["overlapping"] == 0 and report(unnamed)["overlapping"] == 0


def test_pairs_on_which_all_tie_have_no_better_ceiling_than_half() -> None:
    found = report(votes((0.5, 0.5)))
    assert found["raters_agree"] == 0.5 and found["ceiling"] == 0.5


def test_the_grid_of_the_resamples_holds_the_best_a() -> None:
    rng = np.random.default_rng(5)
    said = (rng.random(600) < np.repeat(rng.beta(2, 2, 200), 3)).astype(float)
    pair = np.repeat(np.arange(200), 3)
    rater = np.tile(np.array(["a", "b", "c"]), 200)
    found = rater_figures(pair, said, rater, pair.astype(np.str_), rng, 500)
    assert found["ceiling_low"] < found["ceiling"] < found["ceiling_high"]
