"""A process reward: what steps are, where they end among the tokens, and which ways to add them up can be gamed."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.chat import Chat, train_tokenizer
from heedful.data.steps import step_example, steps_of
from heedful.evaluate.correctness_report import area, first_error, outcome_report, step_report
from heedful.records import Message
from heedful.rewards.process import of_steps

ASKED = (Message("user", "3 + 4 - 2?"),)


def test_ways_by_hand() -> None:
    chances = [0.9, 0.5, 0.8]
    assert [of_steps(chances, way) for way in ("min", "product", "mean", "last", "sum")] == pytest.approx(
        [0.5, 0.36, 2.2 / 3, 0.8, 2.2]
    )


def test_repeating_a_right_step_pays_by_the_sum_alone() -> None:
    once, often = [0.9, 0.5], [0.9, 0.9, 0.9, 0.9, 0.5]
    assert of_steps(often, "sum") > of_steps(once, "sum") + 2
    for way in ("min", "product", "last"):
        assert of_steps(often, way) <= of_steps(once, way)


def test_steps_are_lines_or_sentences() -> None:
    assert steps_of("3 + 4 = 7.\n\n7 - 2 = 5.\n", "lines") == ("3 + 4 = 7.", "7 - 2 = 5.")
    assert steps_of("Costs 3.5 each. So 7!  Yes", "sentences") == ("Costs 3.5 each.", "So 7!", "Yes")
    assert steps_of("", "lines") == ("",)


@pytest.mark.parametrize("steps", [("3 + 4 = 7.", "7 - 2 = 5."), ("naïve ☃", "日本語 ok", "end")])
def test_a_step_ends_with_the_token_that_completes_it(steps: tuple[str, ...]) -> None:
    chat = Chat(train_tokenizer(["3 + 4 = 7.\n7 - 2 = 5.", "naïve"] * 5, 300))
    text = "\n".join(steps)
    found = step_example(chat, ASKED, text, steps)
    assert found.example.ids == chat.example(ASKED, text).ids
    begin = found.example.answer
    for index, end in enumerate(found.ends):
        upto = "\n".join(steps[: index + 1])
        assert chat.decode(found.example.ids[begin : end + 1]).startswith(upto)
        assert not chat.decode(found.example.ids[begin:end]).startswith(upto)


def test_first_errors_and_their_f1_by_hand() -> None:
    assert first_error([0.9, 0.4, 0.2]) == 1 and first_error([0.9, 0.6]) == -1
    chances = [[0.9, 0.2, 0.9], [0.9, 0.9], [0.4, 0.9], [0.8, 0.3]]
    labels = [[1.0, 0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    report = step_report(chances, labels)
    assert (report["answers"], report["steps"]) == (4, 9)
    assert (report["on_wrong"], report["on_right"], report["f1"]) == (0.5, 0.5, 0.5)
    assert report["accuracy"] == pytest.approx(6 / 9, abs=1e-4)


def test_area_is_the_chance_to_rank_right_above_wrong() -> None:
    assert area(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, False, False, True])) == pytest.approx(3.5 / 4)
    assert area(np.array([1.0]), np.array([True])) is None
    assert outcome_report([2.0, -1.0], [1.0, 0.0])["area"] == 1.0 and outcome_report([], []) == {"labels": 0}
