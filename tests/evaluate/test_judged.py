"""Judging, criteria and behaviour on made-up answers: each distinct text once, falls named, a collapse caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from heedful.evaluate.answers import Answer, AnswerSet
from heedful.evaluate.behaviour import collapse_row, collapse_warnings, over_refusal_rows, shape
from heedful.evaluate.criteria import (
    criteria_rows,
    difference_rows,
    falls,
    families_of,
    family_difference_rows,
    family_falls,
)
from heedful.evaluate.judging import Judged, judge_sets
from heedful.evaluate.winrate import resamples_of
from heedful.judges.protocol import Judgement
from heedful.records import Message, Prompt

PROMPTS = [
    Prompt(id=f"p{i}", messages=(Message("user", f"q{i}"),), meta={"family": "ba"[i % 2], "template": f"t{i % 4}"})
    for i in range(12)
]


def answers(texts: Sequence[Sequence[str]], temperature: float = 1.0) -> AnswerSet:
    return AnswerSet(temperature, tuple(tuple(Answer(t, (1, 2, 3), "eos") for t in draws) for draws in texts))


class ByLength:
    """Longer is better; says so under one criterion, and flags what begins with `No`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Judgement]:
        self.asked += [(p.id, t) for p, t in zip(prompts, texts, strict=True)]
        return [
            Judgement(
                len(t) / 100, {"length": len(t) / 100}, frozenset({"refused"} if t.startswith("No") else frozenset())
            )
            for t in texts
        ]


RESAMPLES = resamples_of(PROMPTS, np.random.default_rng(0))


def judged(texts: Sequence[Sequence[str]]) -> Judged:
    return judge_sets(ByLength(), PROMPTS[: len(texts)], {"m": answers(texts)})["m"]


def test_each_distinct_answer_is_judged_once_and_lands_in_its_place() -> None:
    judge = ByLength()
    views = judge_sets(judge, PROMPTS, {"a": answers([["x", "yy"], ["x", "x"]]), "b": answers([["yy"], ["zzz"]])})
    assert sorted(judge.asked) == [("p0", "x"), ("p0", "yy"), ("p1", "x"), ("p1", "zzz")]
    assert views["a"].totals.tolist() == [[0.01, 0.02], [0.01, 0.01]]
    assert views["b"].totals.tolist() == [[0.02], [0.03]]


def test_criterion_and_flag_are_means_over_draws() -> None:
    view = judged([["No.", "Yes."], ["No.", "No."]])
    assert view.flagged("refused").tolist() == [0.5, 1.0]
    assert view.criterion("total") == pytest.approx([0.035, 0.03])
    assert view.criteria == ["total", "length"] and view.flags == ["refused"]


def test_a_fall_is_named_with_its_sign_and_a_rise_is_not() -> None:
    long, short = judged([["x" * 50]] * 12), judged([["x" * 40]] * 12)
    found = falls(difference_rows(short, long, PROMPTS, RESAMPLES), "ppo", "sft", "greedy")
    assert [fall.sentence for fall in found] == [
        "ppo (greedy): total falls against sft by 0.100 [0.100, 0.100], clearly",
        "ppo (greedy): length falls against sft by 0.100 [0.100, 0.100], clearly",
    ]
    assert all(fall.clear for fall in found)
    assert falls(difference_rows(long, short, PROMPTS, RESAMPLES), "ppo", "sft", "greedy") == []


def test_a_fall_within_noise_is_named_as_such() -> None:
    draw = np.random.default_rng(0)
    before = judged([["x" * n] for n in draw.integers(20, 80, 12)])
    after = judged([["x" * n] for n in draw.integers(20, 80, 12)])
    one, other = (before, after) if before.totals.mean() > after.totals.mean() else (after, before)
    fall, *_ = falls(difference_rows(other, one, PROMPTS, RESAMPLES), "ppo", "sft", "sample")
    assert not fall.clear and "within noise (p = " in fall.sentence


def family_rows(before: Judged, after: Judged, prompts: Sequence[Prompt]) -> dict[str, dict[str, float | bool]]:
    return family_difference_rows(after, before, families_of(prompts, np.random.default_rng(0)))


def test_families_are_shown_apart_and_their_falls_named() -> None:
    before, after = judged([["x" * 50]] * 12), judged([["x" * (60 if i % 2 else 30)] for i in range(12)])
    shown = criteria_rows(after, PROMPTS, RESAMPLES)
    assert shown["all"]["total"]["mean"] == pytest.approx(0.45)
    assert shown["by_family"]["b"]["total"] == pytest.approx(0.3)
    (fall,) = family_falls(family_rows(before, after, PROMPTS), "ppo", "sft", "sample")
    assert fall.sentence.startswith("ppo (sample): the family 'b' falls against sft from 0.50 to 0.30, by 0.200 [")


def test_a_family_that_falls_beyond_noise_is_told_from_one_that_may_fall_by_chance() -> None:
    """Both fall by .2 on 24 prompts of as many templates: one by about as much on each, one on a few by all."""
    prompts = [
        Prompt(id=f"p{i}", messages=(Message("user", f"q{i}"),), meta={"family": ("sure", "moody")[i % 2]})
        for i in range(48)
    ]
    draw = np.random.default_rng(1)
    sure, moody = draw.integers(15, 26, 24), np.where(np.arange(24) % 5 == 0, 80, draw.integers(-30, 41, 24))
    drop = np.stack([sure, moody], axis=1).ravel()
    before = judge_sets(ByLength(), prompts, {"m": answers([["x" * 90]] * 48)})["m"]
    after = judge_sets(ByLength(), prompts, {"m": answers([["x" * (90 - int(d))] for d in drop])})["m"]
    rows = family_rows(before, after, prompts)
    assert rows["sure"]["clear"] and not rows["moody"]["clear"]
    assert rows["sure"]["p_holm"] < 0.001 < 0.05 < rows["moody"]["p_holm"]
    one, other = sorted(family_falls(rows, "ppo", "sft", "greedy"), key=lambda fall: fall.p)
    assert one.sentence.endswith(", clearly") and "among 2 families)" in other.sentence


def test_a_family_of_few_prompts_that_all_fall_alike_is_no_certainty() -> None:
    """No resample differs from another: the sign test over three prompts says p = .25."""
    prompts = PROMPTS[:6:2]
    before, after = (judge_sets(ByLength(), prompts, {"m": answers([["x" * n]] * 3)})["m"] for n in (50, 30))
    row = family_rows(before, after, prompts)["b"]
    assert row["p_holm"] == pytest.approx(0.5)  # three prompts, two templates
    assert not row["clear"]


def test_a_policy_that_denies_every_claim_is_named() -> None:
    """It gains on false claims what it loses on true ones: the family's mean stays."""
    claims = [replace(p, meta=p.meta | {"bucket": ("true", "false")[i % 2]}) for i, p in enumerate(PROMPTS)]
    claims = [replace(p, meta=p.meta | {"family": "claim"}) for p in claims]
    before, after = judged([["x" * 50]] * 12), judged([["x" * (80 if i % 2 else 20)] for i in range(12)])
    both = (criteria_rows(view, claims, RESAMPLES)["all"]["total"]["mean"] for view in (before, after))
    assert next(both) == pytest.approx(next(both))
    (fall,) = family_falls(family_rows(before, after, claims), "ppo", "sft", "greedy")
    assert "the family 'claim.true' falls against sft from 0.50 to 0.20" in fall.sentence


def test_a_collapse_is_caught_by_name_even_where_the_tails_vary() -> None:
    """The reference has a habit of its own, which must not hide the new one."""
    varied = answers([[f"Great question! Answer {i} is {i * j}." for j in range(4)] for i in range(12)])
    collapsed = answers([[f"I don't know. Maybe {i * j}." for j in range(4)] for i in range(12)])
    rows = {"sft": collapse_row(varied, varied, None), "ppo": collapse_row(collapsed, varied, None)}
    assert rows["ppo"]["share"] < 0.5 and rows["ppo"]["sentence_share"] == 1.0
    assert collapse_warnings(rows, "sft") == [
        "ppo collapsed into 'I don't know.': 100% of its answers say so (sft: 0%)"
    ]
    assert collapse_warnings({"sft": rows["sft"], "ppo": rows["sft"]}, "sft") == []


def test_numbers_of_a_list_are_no_habit() -> None:
    steps = answers([[f"1. Take {i}. 2. Mix {i}."] for i in range(12)])
    plain = answers([[f"Take {i}."] for i in range(12)])
    assert collapse_row(steps, plain, None)["sentence_share"] < 0.2


def test_silence_is_a_collapse_too() -> None:
    plain, silent = answers([[f"Take {i}."] for i in range(12)]), answers([[""]] * 12)
    rows = {"sft": collapse_row(plain, plain, None), "ppo": collapse_row(silent, plain, None)}
    assert collapse_warnings(rows, "sft")[0].startswith("ppo collapsed into 'an empty answer'")


def test_refusing_everything_is_named() -> None:
    yes, no = [[f"Yes {i}."] for i in range(12)], [[f"No {i}."] for i in range(12)]
    rows = {
        "sft": collapse_row(answers(yes), answers(yes), judged(yes)),
        "ppo": collapse_row(answers(no), answers(yes), judged(no)),
    }
    assert collapse_warnings(rows, "sft") == ["ppo refuses in 100% of its answers (sft: 0%)"]


def test_over_refusal_keeps_an_upper_bound_where_nobody_refuses() -> None:
    never = judged([["Yes."]] * 12)
    often = judged([["No."]] * 3 + [["Yes."]] * 9)
    rows = over_refusal_rows(
        {"sft": never, "dpo": never, "ppo": often}, "sft", [p.id for p in PROMPTS], np.random.default_rng(0)
    )
    assert rows["dpo"]["increase"] == 0 and rows["dpo"]["increase_high"] > 0.2  # 12 prompts prove little
    assert rows["ppo"]["increase"] == pytest.approx(0.25)
    assert rows["ppo"]["increase_low"] < 0.25 < rows["ppo"]["increase_high"]
    assert rows["sft"]["increase_low"] == rows["sft"]["increase_high"] == 0.0


def test_shape_counts_words_endings_and_distinct_answers() -> None:
    one = AnswerSet(0.7, ((Answer("a b c", (1, 2), "eos"), Answer("a b c", (1, 2, 3, 4), "length")),))
    assert shape(one) == {
        "temperature": 0.7, "answers": 2, "words": 3.0, "tokens": 3.0, "eos_rate": 0.5, "distinct": 0.5
    }  # fmt: skip


def test_answer_sets_survive_their_json() -> None:
    one = answers([["x", "y"], ["z", "z"]])
    assert AnswerSet.from_row(one.row()) == one
