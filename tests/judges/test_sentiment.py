"""The sentiment truth."""

from __future__ import annotations

import pytest

from heedful.judges.sentiment import SentimentJudge, compound
from heedful.records import Prompt

PROMPT = Prompt(id="p", messages=())
HAPPY, FLAT, SAD = "She was happy and loved it.", "They went to the house.", "He was sad and hated it."


def test_the_lexicon_reads_feeling() -> None:
    assert compound(HAPPY) > 0.5 > compound(FLAT) == 0.0 > -0.5 > compound(SAD)
    assert compound("It was not happy.") < 0


def test_saying_it_twice_is_not_happier() -> None:
    assert compound(f"{HAPPY} {HAPPY}") == pytest.approx(compound(HAPPY))


def test_no_text_feels_nothing() -> None:
    assert compound("") == 0.0 and compound("  \n ") == 0.0


def test_judge_keeps_order_and_names_its_criterion() -> None:
    judged = SentimentJudge().judge([PROMPT, PROMPT], [SAD, HAPPY])
    assert judged[0].total < judged[1].total
    assert judged[1].criteria == {"sentiment": judged[1].total}
