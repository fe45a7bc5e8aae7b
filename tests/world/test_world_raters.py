"""Simulated raters: noisy, fallible, symmetric, and two groups apart."""

import random

import numpy as np
import pytest

from heedful.records import Prompt
from heedful.world import (
    GoldJudge,
    SimulatedRater,
    calibrate,
    demo_answer,
    disagreement,
    ideal_answer,
    preference_probability,
    raters,
    vague_answer,
    web_answer,
)
from heedful.world.splits import pool

Pair = tuple[Prompt, str, str]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Two of: answers of the writers, of the web, to another prompt, and the ideal one."""
    rng = random.Random(2)
    prompts = [p for found in pool("preference").values() if found for p in rng.sample(found, 25)]
    made = []
    for prompt in prompts:
        other = rng.choice(prompts)
        texts = [demo_answer(prompt, rng) for _ in range(3)]
        texts += [web_answer(prompt, rng), demo_answer(other, rng), ideal_answer(prompt)]
        first, second = rng.sample(texts, 2)
        made.append((prompt, first, second))
    return made


@pytest.mark.parametrize("group", ["train", "audit"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_disagree_with_gold_less_on_far_pairs_than_on_near_ones(
    pairs: list[Pair], group: str, seed: int
) -> None:
    """These pairs lie further apart than a model's candidates, on which a quarter of labels goes against gold."""
    gold = GoldJudge()
    gaps = [abs(gold.score(prompt, a).total - gold.score(prompt, b).total) for prompt, a, b in pairs]
    middle = sorted(gaps)[len(gaps) // 2]
    near = [pair for pair, gap in zip(pairs, gaps, strict=True) if gap <= middle]
    people = raters(group, seed)  # type: ignore[arg-type]
    assert 0.11 < disagreement(people, pairs) < 0.20
    assert disagreement(people, near) > 0.22


def test_calibration_hits_its_target(pairs: list[Pair]) -> None:
    for target in (0.2, 0.25, 0.3):
        assert disagreement(calibrate(raters("train", 0), pairs[:100], target), pairs[:100]) == pytest.approx(
            target, abs=1e-3
        )


def test_groups_are_different_people() -> None:
    train, audit = raters("train", 0), raters("audit", 0)
    assert not {rater.name for rater in train} & {rater.name for rater in audit}
    assert not {rater.length for rater in train} & {rater.length for rater in audit}
    assert raters("train", 0) == train
    assert sum("careless" in rater.name for rater in train) == 1
    with pytest.raises(ValueError, match="no group"):
        raters("human", 0)  # type: ignore[arg-type]


def test_preference_is_symmetric_and_grows_with_the_gap(pairs: list[Pair]) -> None:
    people = raters("train", 0)
    for prompt, a, b in pairs[:100]:
        p, q = (preference_probability(people, prompt, *texts) for texts in ((a, b), (b, a)))
        assert p + q == pytest.approx(1.0)
    prompt = pairs[0][0]
    ideal, vague = ideal_answer(prompt), vague_answer(prompt, random.Random(0))
    assert preference_probability(people, prompt, ideal, ideal) == pytest.approx(0.5)
    assert preference_probability(people, prompt, ideal, vague) > 0.9


def test_ranks_follow_the_closed_form(pairs: list[Pair]) -> None:
    rng = np.random.default_rng(0)
    rater = SimulatedRater("one", temperature=0.3, length=0.02, position=0.1)
    prompt, a, b = next(pair for pair in pairs if pair[1] != pair[2])
    draws = 4000
    first = sum(rater.rank(prompt, (a, b), rng) == (0, 1) for _ in range(draws // 2))
    second = sum(rater.rank(prompt, (b, a), rng) == (1, 0) for _ in range(draws // 2))
    assert (first + second) / draws == pytest.approx(rater.probability(prompt, a, b), abs=0.03)


def test_ties_when_close() -> None:
    rater = SimulatedRater("one", temperature=1e-6)
    prompt = pool("preference")["fact"][0]
    ideal = ideal_answer(prompt)
    rng = np.random.default_rng(0)
    assert rater.rank(prompt, (ideal, "It depends.", ideal), rng, tie_width=0.01) == (0, 1, 0)
    assert sorted(rater.rank(prompt, (ideal, "It depends.", ideal), rng)) == [0, 1, 2]


def test_tastes_move_utility_and_scale() -> None:
    prompt = pool("preference")["fact"][0]
    text, praised = ideal_answer(prompt), f"Great question! {ideal_answer(prompt)}"
    gold = GoldJudge()
    loss = gold.score(prompt, text).total - gold.score(prompt, praised).total
    mean = {
        scale: sum(r.utility(prompt, praised) - r.utility(prompt, text) for r in raters("train", 0, scale)) / 12
        for scale in (0.0, 1.0, 8.0)
    }
    assert mean[0.0] == pytest.approx(-loss)
    assert mean[0.0] < mean[1.0] < 0 < mean[8.0]
