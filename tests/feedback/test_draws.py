"""Several answers of one judge: made into one label by hand-worked rules, and how consistent they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.feedback.test_machines import said

from heedful.feedback.draws import SWAYED, Draw, one_label
from heedful.feedback.foreign import Foreign, convert_foreign
from heedful.feedback.judgements import raw_row
from heedful.feedback.machines import consistencies
from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Answered, Sheet, check

AB, BA = (0, 1), (1, 0)
PAIR = PRESETS["pair"].sheet


def prefer(place: int, strength: int = 1) -> Answered:
    return Answered(verdict="prefer", preferred=place, strength=strength, reason=f"likes {place}")


TIE, GOOD, CANT = Answered(verdict="tie"), Answered(verdict="both_good"), Answered(verdict="cant_judge")


@pytest.mark.parametrize(
    ("draws", "verdict", "preferred"),
    [
        ([(prefer(0), AB), (prefer(0), BA)], "prefer", 0),
        ([(prefer(1), AB), (prefer(1), BA)], "prefer", 1),
        ([(prefer(0), AB), (prefer(1), BA)], "tie", -1),
        ([(prefer(0), AB), (TIE, BA)], "tie", -1),
        ([(GOOD, AB), (GOOD, BA)], "both_good", -1),
        ([(GOOD, AB), (TIE, BA)], "tie", -1),
        ([(prefer(0), AB), (CANT, BA)], "prefer", 0),
        ([(CANT, AB), (CANT, BA)], "cant_judge", -1),
        ([(prefer(0), AB), (prefer(0), AB), (prefer(1), AB), (prefer(0), BA)], "prefer", 0),
        ([(prefer(0), AB)] * 3 + [(prefer(1), BA)], "tie", -1),  # each order has one voice
    ],
)
def test_pairs(draws: list[tuple[Answered, tuple[int, ...]]], verdict: str, preferred: int) -> None:
    found = one_label([Draw(*one) for one in draws], PAIR)
    assert (found.verdict, found.preferred) == (verdict, preferred)
    check(found, PAIR, 2, 0)


def test_an_inconsistent_pair_says_so_and_fits_a_sheet_without_ties() -> None:
    draws = [Draw(prefer(0, 3), AB), Draw(prefer(1, 3), BA)]
    assert one_label(draws, PAIR).reason == SWAYED
    hh = PRESETS["hh"].sheet
    assert one_label(draws, hh) == Answered(verdict="cant_judge", reason=SWAYED)
    agreeing = [Draw(prefer(0, 4), AB), Draw(prefer(0, 1), BA)]
    assert one_label(agreeing, hh).strength == 2 and one_label(agreeing, hh).reason == "likes 0"


def test_rankings_ratings_flags_and_steps() -> None:
    ranked = [Answered(ranks=ranks) for ranks in ((0, 1, 2), (1, 0, 2))]
    shown = ((0, 1, 2), (2, 1, 0))
    found = one_label([Draw(*one) for one in zip(ranked, shown, strict=True)], Sheet(compare="rank"))
    assert found.ranks == (0, 0, 1)
    partly = [Answered(ranks=(0, 1, None)), Answered(ranks=(0, 1, None))]
    assert one_label([Draw(one, shown[0]) for one in partly], Sheet(compare="rank")).ranks == (0, 1, None)
    rated = [
        Answered(ratings=({"good": 2}, {"good": 5}), flags=(("a",), ())),
        Answered(ratings=({"good": 3}, {"good": 5}), flags=(("a", "b"), ("b",))),
    ]
    found = one_label(
        [Draw(one, AB) for one in rated], PRESETS["instructgpt"].sheet.model_copy(update={"compare": "none"})
    )
    assert found.ratings == ({"good": 3}, {"good": 5}) and found.flags == (("a",), ())
    steps = [Answered(steps=("right", "wrong")), Answered(steps=("right", "right"))]
    assert one_label([Draw(one, (0,)) for one in steps], PRESETS["steps"].sheet).steps == ("right", "neutral")


def judged(number: int, *draws: tuple[int, tuple[int, ...]]) -> Any:
    rows = [{"value": {"verdict": "prefer", "preferred": place, "strength": 1}, "shown": [*at]} for place, at in draws]
    return replace(said(number, "judge", 0, "ai"), draws=tuple(rows))


def test_consistency_by_hand() -> None:
    """Two of four items the same in both orders, one won by the first shown, one by the last."""
    rows = [
        judged(0, (0, AB), (0, BA)),
        judged(1, (1, AB), (1, BA), (1, AB)),
        judged(2, (0, AB), (1, BA)),
        judged(3, (1, AB), (0, BA), (1, BA), (0, BA)),
        said(4, "judge", 0, "ai"),
    ]
    [found] = consistencies(rows)
    assert found.judge == "judge" and (found.orders.share, found.orders.n) == (0.5, 4)
    assert (found.first.share, found.first.n) == (0.5, 2)
    assert (found.again.share, found.again.n) == (pytest.approx(2 / 3), 2)  # a third of item 3's pairs, all of item 1's
    assert found.orders.low < 0.5 < found.orders.high


def test_the_raw_log_keeps_every_draw() -> None:
    row = judged(0, (0, AB), (1, BA))
    [back] = convert_foreign(raw_row(row), Foreign.RAW)
    assert back.draws == row.draws
