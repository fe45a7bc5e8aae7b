"""Consensus and the judgements that it is made of."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heedful.feedback.consensus import RULES, adjudication, agree_on
from heedful.feedback.judgements import FIRST, SECOND, TIE, Judgement, from_ranking, raw_row
from heedful.feedback.votes import collect_votes
from heedful.records import Message, Prompt, Ranking

sys.path.insert(0, str(Path(__file__).parent))
from crowds import majority, planted

PROMPT = Prompt(id="p", messages=(Message("user", "Why?"),))


def said(
    rater: str, preferred: int | None, *, texts: tuple[str, ...] = ("Because.", "No."), **more: object
) -> Judgement:
    value = {"verdict": "tie"} if preferred is None else {"verdict": "prefer", "preferred": preferred}
    return Judgement(prompt=PROMPT, completions=texts, value=value, rater=rater, **more)  # type: ignore[arg-type]


def test_one_pair_in_whatever_order_it_is_stored() -> None:
    there, back = said("a", 0, shown=(0, 1)), said("b", 1, texts=("No.", "Because."), shown=(0, 1))
    votes = collect_votes([there, back, said("c", None)])
    assert votes.items == 1 and votes.answers == 2 and votes.raters == ("a", "b", "c")
    assert votes.choice[0] == votes.choice[1] != TIE and votes.choice[2] == TIE
    assert votes.left[0] != votes.left[1], "they lay on different sides"
    assert votes.left[2] == -1
    winner = votes.first[0] if votes.choice[0] == FIRST else votes.second[0]
    assert votes.texts[winner] == "Because."


def test_rankings_give_all_pairs_and_unranked_answers_none() -> None:
    ranked = Judgement(prompt=PROMPT, completions=("x", "y", "z", "w"), value={"ranks": [1, 0, 1, None]}, rater="a")
    votes = collect_votes([ranked])
    assert votes.items == 3 and (votes.choice == TIE).sum() == 1 and len(set(votes.group)) == 1
    assert ranked.ranking() == Ranking(
        prompt=PROMPT, completions=("x", "y", "z"), ranks=(1, 0, 1), rater="a", rater_kind="human"
    )


@pytest.mark.parametrize("rule", ["dawid-skene", "crowd"])
def test_checks_hold_their_right_answer_and_weigh_their_raters(rule: str) -> None:
    """Two honest raters and three liars: the majority is wrong, and what they said of ten checks tells it."""
    rows = []
    for number in range(40):
        prompt = Prompt(id=str(number), messages=(Message("user", f"Question {number}?"),))
        right = number % 2
        for rater in range(5):
            value = {"verdict": "prefer", "preferred": right if rater < 2 else 1 - right}
            part, expected = ("gold", {"verdict": "prefer", "preferred": right}) if number < 10 else ("main", {})
            texts = (f"one {number}", f"two {number}")
            rows.append(
                Judgement(
                    prompt=prompt, completions=texts, value=value, rater=f"r{rater}", part=part, expected=expected
                )
            )
    votes = collect_votes(rows)
    assert (votes.gold >= 0).sum() == 10
    best = np.array([f"{('one', 'two')[n % 2]} {n}" for n in range(40)])
    first = np.array(votes.texts)[votes.first]
    truth = np.where(best == first, FIRST, SECOND)
    found = agree_on(votes, rule)  # type: ignore[arg-type]
    assert (found.label == truth).all() and (agree_on(votes, "majority").label != truth).all()
    assert found.preference[:10] == pytest.approx(np.where(truth[:10] == FIRST, 1.0, 0.0))
    unknown = agree_on(replace(votes, gold=np.full(votes.items, -1)), rule)  # type: ignore[arg-type]
    assert (unknown.label != truth).all()


def test_the_last_revision_counts_and_those_unnamed_are_apart() -> None:
    votes = collect_votes([said("a", 0, revision=1), said("a", 1, revision=2), said("", 0), said("", 0)])
    assert len(votes.item) == 3 and len(votes.raters) == 3
    assert votes.choice[0] != votes.choice[1]


def test_what_cannot_be_judged_says_nothing() -> None:
    nothing = Judgement(prompt=PROMPT, completions=("x", "y"), value={"verdict": "cant_judge"}, rater="a")
    assert nothing.ranking() is None and not nothing.comparisons()
    assert collect_votes([nothing]).items == 0
    assert collect_votes([]).counts().shape == (0, 3)


def test_a_key_tells_content_apart_and_nothing_else() -> None:
    assert said("a", 0).key == said("a", 0).key
    assert len({said("a", 0).key, said("a", 1).key, said("b", 0).key, said("a", None).key}) == 4
    assert raw_row(from_ranking(said("a", 1).ranking()))["value"] == {"verdict": "prefer", "preferred": 1}  # type: ignore[arg-type]


def test_hard_and_soft_by_hand() -> None:
    votes = collect_votes([said("a", 0), said("b", 0), said("c", 1), said("d", None)])
    first = FIRST if votes.texts[votes.first[0]] == "Because." else SECOND
    sign = 1 if first == FIRST else -1
    hard, soft = agree_on(votes, "majority"), agree_on(votes, "soft")
    assert hard.label[0] == soft.label[0] == first
    assert soft.probability[0][[first, 1 - first, 2]] == pytest.approx([0.5, 0.25, 0.25])
    assert sign * soft.margin[0] == pytest.approx(np.log((2.5 + 0.5) / (1.5 + 0.5)))
    assert soft.uncertainty[0] == pytest.approx(1.5)
    even = agree_on(collect_votes([said("a", 0), said("b", 1)]), "majority")
    assert even.label[0] == TIE and even.margin[0] == 0


@pytest.mark.parametrize("rule", ["dawid-skene", "crowd"])
def test_weighted_labels_beat_the_majority_of_a_crowd_with_spoilers(rule: str) -> None:
    gains = []
    for seed in range(8):
        crowd = planted(seed, roles=(*("honest",) * 6, "careless", "left", "length", *("colluder",) * 3))
        p = agree_on(crowd.votes, rule).preference  # type: ignore[arg-type]
        first, share = crowd.truth == FIRST, majority(crowd.votes)
        gains.append(np.where(first, p > 0.5, p < 0.5).mean() - np.where(first, share, 1 - share).mean())
    assert np.mean(gains) - 2.36 * np.std(gains, ddof=1) / np.sqrt(8) > 0, gains


@pytest.mark.parametrize("rule", RULES)
def test_margins_have_the_sign_of_the_label(rule: str) -> None:
    crowd = planted(0, roles=("honest",) * 6, prompts=20)
    found = agree_on(crowd.votes, rule)  # type: ignore[arg-type]
    assert np.allclose(found.probability.sum(1), 1) and np.abs(found.margin).max() <= 6
    assert ((found.margin > 0) == (found.label == FIRST))[found.label != TIE].all()


def test_adjudication_names_what_a_second_look_would_help() -> None:
    pairs = [
        [said("a", 0), said("b", 1)],
        [said("a", 0), said("b", 0)],
        [said("a", 0), said("m", 1, rater_kind="ai"), said("c", 0), said("d", 0)],
    ]
    rows = [
        replace(judgement, prompt=Prompt(id="p", messages=(Message("user", f"question {number}"),)))
        for number, pair in enumerate(pairs)
        for judgement in pair
    ]
    votes = collect_votes(rows)
    cases = adjudication(votes, agree_on(votes, "soft"))
    assert [(case.item, case.reason) for case in cases] == [(0, "split"), (2, "people and machines differ")]
