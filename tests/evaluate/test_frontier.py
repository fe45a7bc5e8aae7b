"""The area under truth over KL: worked out by hand, and differences that are there or are not."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.evaluate.frontier import Reached, SeedLine, areas, compare_frontiers
from heedful.evaluate.statistics import TwoWay

PROMPTS = 40
ONCE = np.ones((1, PROMPTS))


def flat(value: float) -> np.ndarray:
    return np.full(PROMPTS, value)


def line(*points: tuple[float, float], start: float = 0.5) -> SeedLine:
    return SeedLine(flat(start), [Reached(str(kl), kl, flat(value)) for kl, value in points])


def test_by_hand() -> None:
    # within 1 nat the reference's 0.5, from there 0.7; what stands at 3 nats is worse, and at 4 nats 0.9 is reached
    given = line((3, 0.6), (1, 0.7), (4, 0.9))
    assert areas(given, 4, ONCE) == pytest.approx([0.2 * 3 / 4])
    assert areas(given, 8, ONCE) == pytest.approx([(0.2 * 3 + 0.4 * 4) / 8])
    assert areas(given, 2, ONCE) == pytest.approx([0.2 / 2])  # farther policies are out of reach
    assert areas(line((1, 0.4)), 4, ONCE) == pytest.approx([0])  # nobody must take a policy that is worse


def test_resamples_weigh_prompts() -> None:
    values = np.array([1.0, 0.0])
    half = SeedLine(np.zeros(2), [Reached("", 1, values)])
    assert areas(half, 2, np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])) == pytest.approx([0.25, 0.5, 0])


def noisy(rng: np.random.Generator, gain: float) -> list[SeedLine]:
    """Three seeds with one policy each, at a KL of 1."""
    start = rng.normal(0.5, 0.1, 200)
    return [SeedLine(start, [Reached("", 1, start + gain + rng.normal(0, 0.05, 200))]) for _ in range(3)]


def test_lines_are_compared_with_the_first_and_corrected_for_their_number() -> None:
    rng = np.random.default_rng(0)
    first = noisy(rng, 0.1)
    better, same = noisy(rng, 0.2), first
    far = [SeedLine(s.start, [Reached("", 2, s.start)]) for s in first]  # sets the reach, gains nothing
    lines = {"first": first, "better": better, "same": same, "far": far}
    alone = [str(i) for i in range(200)]
    rows = compare_frontiers(lines, TwoWay(alone, alone, rng, 1000), rng)
    named = {row["line"]: row for row in rows}
    assert rows[0]["reach"] == 2 and rows[0]["seeds"] == 3
    assert named["first"]["area"] == pytest.approx(0.05, abs=0.01)
    assert named["first"]["area_low"] < 0.05 < named["first"]["area_high"]
    assert named["better"]["difference"] == pytest.approx(0.05, abs=0.01)
    assert named["better"]["difference_low"] > 0
    assert named["better"]["p"] == pytest.approx(2 / 1001)  # as small as 1,000 resamples can tell
    assert named["better"]["p_holm"] == pytest.approx(3 * 2 / 1001)
    assert named["same"]["difference"] == pytest.approx(0) and named["same"]["p"] > 0.2
    assert named["far"]["area"] == 0 and named["far"]["difference_high"] < 0


def test_the_question_named_beforehand_is_not_corrected() -> None:
    rng = np.random.default_rng(1)
    lines = {"first": noisy(rng, 0.1), "asked": noisy(rng, 0.11), "other": noisy(rng, 0.2), "more": noisy(rng, 0.2)}
    lines["more"][0] = SeedLine(
        lines["more"][0].start, [Reached("", 2, lines["more"][0].points[0].values)]
    )  # the reach
    alone = [str(i) for i in range(200)]
    rows = {row["line"]: row for row in compare_frontiers(lines, TwoWay(alone, alone, rng, 1000), rng, "asked")}
    assert [name for name, row in rows.items() if row["primary"]] == ["asked"]
    assert rows["asked"]["p_holm"] == rows["asked"]["p"]
    assert rows["other"]["p_holm"] == pytest.approx(2 * rows["other"]["p"])  # of two, not of three


def test_prompts_that_share_a_template_count_less() -> None:
    """What ten prompts of one template say together is hardly more than what one says."""
    rng = np.random.default_rng(2)
    shared = np.repeat(rng.normal(0, 0.1, 20), 10)
    start = np.full(200, 0.5)
    lines = {"first": [SeedLine(start, [Reached("", 2, start)])],
             "better": [SeedLine(start, [Reached("", 1, start + 0.05 + shared)])]}  # fmt: skip
    alone, template = [str(i) for i in range(200)], [str(i // 10) for i in range(200)]
    apart, together = (compare_frontiers(lines, TwoWay(keys, alone, rng, 2000), rng)[1] for keys in (alone, template))
    widths = [row["difference_high"] - row["difference_low"] for row in (apart, together)]
    assert widths[1] > 2.5 * widths[0]
