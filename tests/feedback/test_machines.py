"""Agreement of machines with people, by kind of prompt: by hand, and in the report."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.feedback.judgements import Judgement
from heedful.feedback.machines import ALL, PEOPLE, by_stratum
from heedful.feedback.report import rater_report
from heedful.feedback.votes import collect_votes
from heedful.records import Message, Prompt


def said(number: int, rater: str, preferred: int, kind: str = "human", family: str = "") -> Judgement:
    meta = {"family": family} if family else {}
    return Judgement(
        prompt=Prompt(id=str(number), messages=(Message("user", f"question {number}"),), meta=meta),
        completions=(f"one {number}", f"two {number}"),
        value={"verdict": "prefer", "preferred": preferred, "strength": 1},
        rater=rater,
        rater_kind=kind,  # type: ignore[arg-type]
    )


def judged() -> list[Judgement]:
    """Two people and a judge on four prompts: the judge agrees on sums and not on jokes."""
    rows = []
    for number, family in enumerate(("sums", "sums", "jokes", "jokes")):
        rows += [said(number, "ann", 0, family=family), said(number, "bob", number % 2, family=family)]
        rows.append(said(number, "judge", int(family == "jokes"), "ai", family))
    return rows


def test_agreement_by_hand() -> None:
    rows = judged()
    found = by_stratum(rows, collect_votes(rows), np.random.default_rng(0), 50)
    values = {(one.stratum, one.judge): (one.agreement.mean, one.n) for one in found}
    assert values == {
        (ALL, PEOPLE): (pytest.approx(0.5), 4), (ALL, "judge"): (pytest.approx(4 / 8), 4),
        ("sums", PEOPLE): (pytest.approx(0.5), 2), ("sums", "judge"): (pytest.approx(3 / 4), 2),
        ("jokes", PEOPLE): (pytest.approx(0.5), 2), ("jokes", "judge"): (pytest.approx(1 / 4), 2),
    }  # fmt: skip


def test_people_are_asked_about_what_a_judge_saw_too() -> None:
    alone = [said(9, "ann", 0, family="sums"), said(9, "bob", 0, family="sums")]
    rows = judged() + alone
    found = by_stratum(rows, collect_votes(rows), np.random.default_rng(0), 50)
    values = {(one.stratum, one.judge): (one.agreement.mean, one.n) for one in found}
    assert values[ALL, PEOPLE] == (pytest.approx(0.5), 4) and values["sums", PEOPLE] == (pytest.approx(0.5), 2)


def test_one_kind_of_prompt_is_all_of_them_and_nobody_is_nobody() -> None:
    rows = [row for row in judged() if row.prompt.meta["family"] == "sums"]
    found = by_stratum(rows, collect_votes(rows), np.random.default_rng(0), 50)
    assert [(one.stratum, one.judge) for one in found] == [(ALL, PEOPLE), (ALL, "judge")]
    for kind in ("human", "ai"):
        some = [row for row in rows if row.rater_kind == kind]
        assert by_stratum(some, collect_votes(some), np.random.default_rng(0), 50) == []
    assert by_stratum([], collect_votes([]), np.random.default_rng(0), 50) == []


def test_the_report_holds_it() -> None:
    row = rater_report(judged(), draws=50).row()
    assert [one["judge"] for one in row["machines"]] == [PEOPLE, "judge"] * 3
