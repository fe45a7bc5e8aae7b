"""The share of flipped labels, from disagreement alone: by hand, on planted flips, and where it can't be told."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from heedful.data.flips import flip_rate
from heedful.errors import InputError
from heedful.records import Message, Prompt, Ranking


def judged(pair: int, *first_wins: bool) -> list[Ranking]:
    """One judgement of the same two answers each."""
    prompt = Prompt(id=str(pair), messages=(Message("user", f"question {pair}"),))
    return [
        Ranking(prompt=prompt, completions=("a", "b"), ranks=(0, 1) if a else (1, 0), rater=str(i), rater_kind="human")
        for i, a in enumerate(first_wins)
    ]


def test_by_hand() -> None:
    # two judgements of pairs 0 to 3 agree, of pair 4 they don't: d = 1/5; one saw the answers the other way round
    agreeing = [ranking for pair in range(4) for ranking in judged(pair, True, True)]
    prompt = judged(4, True)[0].prompt
    turned = Ranking(prompt=prompt, completions=("b", "a"), ranks=(0, 1), rater="r", rater_kind="human")
    found = flip_rate([*agreeing, *judged(4, True), turned])
    assert (found.disagreement, found.pairs) == (0.2, 5)
    assert found.rate == pytest.approx((1 - sqrt(0.6)) / 2)
    assert 2 * found.rate * (1 - found.rate) == pytest.approx(0.2)


def test_every_two_judgements_count_and_ties_and_single_ones_say_nothing() -> None:
    tie = Ranking(prompt=judged(1, True)[0].prompt, completions=("a", "b"), ranks=(0, 0), rater="t", rater_kind="human")
    found = flip_rate([*judged(0, True, True, True, False), *judged(3, False, False), *judged(1, True), tie])
    assert (found.disagreement, found.pairs) == (3 / 7, 2)  # 3 of 6 couples, and 0 of 1


def test_prompts_are_told_apart_by_what_they_say() -> None:
    here, there = judged(0, True)[0], judged(1, False)[0]
    again = Ranking(
        prompt=Prompt(id=here.prompt.id, messages=there.prompt.messages),  # two files may number alike
        completions=there.completions,
        ranks=there.ranks,
        rater="r",
        rater_kind="human",
    )
    found = flip_rate([here, *judged(0, True), again])
    assert (found.disagreement, found.pairs) == (0.0, 1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_a_planted_share_is_found(share: float) -> None:
    rng = np.random.default_rng(0)
    draws = [[r for pair in range(1000) for r in judged(pair, *(rng.random(2) >= share))] for _ in range(40)]
    found = [flip_rate(rankings) for rankings in draws]
    rates = [each.rate for each in found]
    spread = float(np.std(rates))
    assert np.mean(rates) == pytest.approx(share, abs=0.02)
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.4)  # 40 draws tell it so roughly


def test_what_was_judged_once_or_by_coins_tells_nothing() -> None:
    with pytest.raises(InputError, match="no pair of answers was judged twice"):
        flip_rate([*judged(0, True), *judged(1, False)])
    with pytest.raises(InputError, match="disagree 50.0%.*no better than coins"):
        flip_rate([*judged(0, True, False), *judged(1, True, True)])
