"""Raters with a planted error: exact but for it, wrong at their rate, and wrong together where they love length."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.records import Message, Prompt
from heedful.world import FlippingRater

WORTH = {"good": 0.8, "bad": 0.2, "bad " + "and long " * 20: 0.2, "good too": 0.8}
PROMPT = Prompt(id="p", messages=(Message("user", "?"),))


def rater(share: float = 0.0, length: float = 0.0) -> FlippingRater:
    return FlippingRater("r", share, length, lambda _, text: WORTH[text])


def test_without_error_it_is_the_truth() -> None:
    rng = np.random.default_rng(0)
    assert rater().rank(PROMPT, ("good", "bad"), rng) == (0, 1)
    assert rater().rank(PROMPT, ("bad", "good"), rng) == (1, 0)
    assert rater().rank(PROMPT, ("good", "good too"), rng) == (0, 0)
    assert rater(0.4).rank(PROMPT, ("good", "bad"), rng, tie_width=0.7) == (0, 0)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_it_errs_at_its_rate_whatever_the_order(share: float) -> None:
    rng = np.random.default_rng(0)
    for texts, right in ((("good", "bad"), (0, 1)), (("bad", "good"), (1, 0))):
        wrong = np.mean([rater(share).rank(PROMPT, texts, rng) != right for _ in range(3000)])
        assert wrong == pytest.approx(share, abs=0.03)
    assert rater(share).probability(PROMPT, "good", "bad") == 1 - share
    assert rater(share).probability(PROMPT, "bad", "good") == share
    assert rater(share).probability(PROMPT, "good", "good too") == 0.5


def test_a_liking_for_length_is_an_error_in_one_direction() -> None:
    rng, long = np.random.default_rng(0), "bad " + "and long " * 20  # 41 words: 40 more than the good answer
    assert rater(length=0.1).rank(PROMPT, ("good", long), rng) == (0, 1)  # 0.8 + 0.01 > 0.2 + 0.41
    assert rater(length=0.2).rank(PROMPT, ("good", long), rng) == (1, 0)  # 0.8 + 0.02 < 0.2 + 0.82
