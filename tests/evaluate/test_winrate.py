"""Win rates by hand, the swap law, and what the headline leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.evaluate.statistics import TwoWay
from heedful.evaluate.winrate import Side, compare, counted_rows, outcomes, resamples_of, win_rate
from heedful.records import Message, Prompt


def prompt(index: int, **meta: str) -> Prompt:
    return Prompt(id=f"p{index}", messages=(Message("user", f"question {index}"),), meta=meta)


def side(scores: list[list[float]], words: int = 5) -> Side:
    table = np.array(scores)
    return Side(table, np.full_like(table, words))


def resamples(prompts: list[Prompt]) -> TwoWay:
    return resamples_of(prompts, np.random.default_rng(0))


def test_every_draw_meets_every_draw_and_ties_count_half() -> None:
    # prompt 1: {3, 1} against {2, 1}: 3>2, 3>1, 1<2, 1=1 -> 2 wins, 1 tie, 1 loss = 0.625; prompt 2: all ties = 0.5
    policy, against = side([[3, 1], [1, 1]]), side([[2, 1], [1, 1]])
    row = win_rate(policy, against, resamples([prompt(0), prompt(1)]))
    assert (row["wins"], row["ties"], row["losses"]) == (2, 5, 1)
    assert row["rate"] == pytest.approx((0.625 + 0.5) / 2)


def test_rounding_is_no_preference() -> None:
    assert outcomes(np.array([[0.3]]), np.array([[0.1 + 0.2]]))[0, 0, 0] == 0.5
    assert outcomes(np.array([[0.3 + 1e-6]]), np.array([[0.3]]))[0, 0, 0] == 1.0


def test_swap_law() -> None:
    draw = np.random.default_rng(1)
    one, two = Side(draw.random((30, 4)), np.ones((30, 4))), Side(draw.random((30, 4)), np.ones((30, 4)))
    prompts = [prompt(i, template=f"t{i % 5}", slot=f"s{i % 7}") for i in range(30)]
    there, back = win_rate(one, two, resamples(prompts)), win_rate(two, one, resamples(prompts))
    assert there["rate"] == pytest.approx(1 - back["rate"])
    assert (there["wins"], there["ties"], there["losses"]) == (back["losses"], back["ties"], back["wins"])
    assert there["length_controlled"] == pytest.approx(1 - back["length_controlled"])
    assert there["wilson_low"] == pytest.approx(1 - back["wilson_high"])


def test_a_sweep_gets_wilsons_interval_as_the_bootstrap_sees_no_spread() -> None:
    prompts = [prompt(i) for i in range(20)]
    row = win_rate(side([[1.0]] * 20), side([[0.0]] * 20), resamples(prompts))
    assert row["rate"] == 1.0
    assert row["low"] == row["wilson_low"] == pytest.approx(0.839, abs=1e-3)


def test_the_group_nowhere_is_reported_apart() -> None:
    prompts = [prompt(0, group="unseen_slot", family="a"), prompt(1, group="nowhere", family="b")]
    sides = {"sft": side([[0.0], [1.0]]), "ppo": side([[1.0], [0.0]])}
    (row,) = compare(sides, [("ppo", "sft")], prompts, resamples(prompts[:1]))
    assert row["prompts"] == 1 and row["rate"] == 1.0
    assert row["by_group"]["nowhere"]["rate"] == 0.0
    assert list(row["by_family"]) == ["a"]
    assert counted_rows(prompts[1:]) == [0]  # alone, it is what there is


def test_a_clustered_interval_is_wider_than_wilsons() -> None:
    """Sixty prompts from six templates that win or lose as one are six observations, not sixty."""
    prompts = [prompt(i, template=f"t{i % 6}", slot=f"s{i}") for i in range(60)]
    row = win_rate(side([[float(i % 6 < 4)] for i in range(60)]), side([[0.5]] * 60), resamples(prompts))
    assert row["rate"] == pytest.approx(4 / 6)
    assert row["high"] - row["low"] > 2 * (row["wilson_high"] - row["wilson_low"])
