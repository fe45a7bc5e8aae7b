"""Agreement on single answers: ratings, flags, steps; equal to independent oracles; and the same over time."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from heedful.cli import app
from heedful.feedback.agreement import gwet_ac1, positive_agreement, prevalence, raw_agreement
from heedful.feedback.grades import FEWEST, Grade, Period, grade_figures, grades_of, over_time
from heedful.feedback.judgements import DECISION, Judgement, raw_row
from heedful.feedback.report import nothing_said, rater_report
from heedful.records import Message, Prompt


def judged(number: int, rater: str, value: dict[str, Any], at: float = 0.0, **more: Any) -> Judgement:
    prompt = Prompt(id=str(number), messages=(Message("user", f"Question {number}?"),))
    return Judgement(prompt=prompt, completions=(f"answer {number}",), value=value, rater=rater, at=at, **more)


def sheets(prompts: int = 40, raters: int = 3, seed: int = 0, turns: int = 10**9) -> list[Judgement]:
    """Ratings 1 to 5, a rare flag, three steps; raters see an answer's quality with noise, and guess after `turns`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(prompts):
        quality = rng.normal()
        for rater in range(raters):
            seen = quality + rng.normal(0, 0.4) if number < turns else rng.normal()
            steps = ["wrong" if seen + step < -0.3 else "neutral" if seen < 0.2 else "right" for step in range(3)]
            value = {
                "ratings": [{"clarity": int(np.clip(round(3 + 1.4 * seen), 1, 5))}],
                "flags": [["unsafe"] if seen < -1.3 else []],
                "steps": steps,
            }
            rows.append(judged(number, f"r{rater}", value, at=1e9 + len(rows)))
    return rows


def figures(rows: list[Judgement], draws: int = 50) -> dict[tuple[str, str, str], Grade]:
    rng = np.random.default_rng(0)
    grades = [grade for said in grades_of(rows) for grade in grade_figures(said, rng, draws)]
    return {(grade.kind, grade.key, grade.name): grade for grade in grades}


def matrix(rows: list[Judgement], of: Any) -> np.ndarray:
    """(raters, units), as the oracle reads it."""
    raters = sorted({row.rater for row in rows})
    found: dict[tuple[str, int], list[float]] = {(row.rater, int(row.prompt.id)): of(row.value) for row in rows}
    numbers = sorted({int(row.prompt.id) for row in rows})
    return np.array([[value for n in numbers for value in found[r, n]] for r in raters])


def test_ratings_and_steps_equal_krippendorff() -> None:
    oracle = pytest.importorskip("krippendorff")
    rows = sheets()
    found = figures(rows)
    ratings = matrix(rows, lambda value: [value["ratings"][0]["clarity"]])
    steps = matrix(rows, lambda value: [("wrong", "neutral", "right").index(label) for label in value["steps"]])
    for kind, key, values, levels in (
        ("rating", "clarity", ratings, ("interval", "ordinal")),
        ("step", "steps", steps, ("nominal", "ordinal")),
    ):
        for level in levels:
            expected = oracle.alpha(reliability_data=values.astype(float), level_of_measurement=level)
            grade = found[kind, key, f"α, {level}"]
            assert grade.value.mean == pytest.approx(expected, abs=1e-9)
            assert grade.value.low < grade.value.mean < grade.value.high and grade.n == values.shape[1]


def test_two_raters_have_a_weighted_kappa() -> None:
    oracle = pytest.importorskip("statsmodels.stats.inter_rater")
    rows = sheets(raters=2)
    first, second = matrix(rows, lambda value: [value["ratings"][0]["clarity"]])
    table = np.zeros((5, 5))
    np.add.at(table, (first - 1, second - 1), 1)
    expected = oracle.cohens_kappa(table, wt="quadratic", return_results=True).kappa
    assert figures(rows)["rating", "clarity", "weighted κ"].value.mean == pytest.approx(expected, abs=1e-9)
    assert ("rating", "clarity", "weighted κ") not in figures(sheets())


def test_a_rare_flag_by_hand() -> None:
    # Gwet's example: 118 both no, 5 and 2 apart, 0 both yes: κ is −0.02 there, AC1 0.94
    counts = np.array([[2.0, 0.0]] * 118 + [[1.0, 1.0]] * 7)
    chance = 2 * (243 / 250) * (7 / 250)
    assert gwet_ac1(counts).estimate() == pytest.approx((118 / 125 - chance) / (1 - chance), abs=1e-12)
    assert gwet_ac1(counts).estimate() == pytest.approx(0.9408, abs=1e-4)
    assert positive_agreement(counts).estimate() == 0.0 and prevalence(counts).estimate() == 7 / 250
    assert raw_agreement(counts).estimate() == 118 / 125
    both = np.array([[0.0, 2.0]] * 3 + [[1.0, 1.0]] * 4 + [[2.0, 0.0]] * 9)
    assert positive_agreement(both).estimate() == pytest.approx(2 * 3 / (2 * 3 + 4))  # 2a / (2a + b + c)


def ac1_plainly(units: list[list[int]], categories: int) -> float:
    """Gwet's AC1 in loops, from lists of ratings."""
    several = [unit for unit in units if len(unit) > 1]
    same = [np.mean([a == b for a, b in combinations(unit, 2)]) for unit in several]
    shares = [np.mean([unit.count(c) / len(unit) for unit in units]) for c in range(categories)]
    chance = sum(share * (1 - share) for share in shares) / (categories - 1)
    return float((np.mean(same) - chance) / (1 - chance))


@pytest.mark.parametrize("categories", [2, 4])
def test_ac1_of_any_number_of_raters(categories: int) -> None:
    rng = np.random.default_rng(categories)
    units = [[int(v) for v in rng.integers(0, categories, size=1 + n % 4) ** 2 % categories] for n in range(60)]
    counts = np.array([[unit.count(c) for c in range(categories)] for unit in units], dtype=float)
    assert gwet_ac1(counts).estimate() == pytest.approx(ac1_plainly(units, categories), abs=1e-12)


def test_a_flag_nobody_asked_for_is_not_a_no() -> None:
    rows = [judged(n, f"r{r}", {"flags": [["unsafe"] if n < 4 else []]}) for n in range(20) for r in range(2)]
    unasked = [judged(n, f"r{r}", {"ratings": [{"clarity": 3}]}) for n in range(20, 60) for r in range(2)]
    found = figures(rows + unasked)
    assert found["flag", "unsafe", "prevalence"].value.mean == 0.2 and found["flag", "unsafe", "raw agreement"].n == 20
    assert found["flag", "unsafe", "positive agreement"].value.mean == 1.0


def test_one_rater_twice_and_decisions_are_no_second_opinion() -> None:
    rows = [judged(n, "r0", {"ratings": [{"clarity": said}]}) for n in range(20) for said in (1, 5)]
    rows += [judged(n, "boss", {"ratings": [{"clarity": 2}]}, part=DECISION) for n in range(20)]
    assert figures(rows)["rating", "clarity", "raw agreement"].n == 0


def test_below_the_floor_no_value_is_given() -> None:
    found = figures(sheets(prompts=FEWEST - 1))
    assert np.isnan(found["rating", "clarity", "α, interval"].value.mean)
    assert np.isfinite(figures(sheets(prompts=FEWEST))["rating", "clarity", "α, interval"].value.mean)


def periods(rows: list[Judgement]) -> dict[tuple[str, int], Period]:
    rng = np.random.default_rng(0)
    return {(one.kind, one.quarter): one for said in grades_of(rows) for one in over_time(said, rng, 200)}


def test_raters_who_begin_to_guess_are_seen_over_time() -> None:
    found = periods(sheets(prompts=160, turns=80))
    for kind in ("rating", "flag", "step"):
        parts = [found[kind, quarter] for quarter in (1, 2, 3, 4)]
        assert parts[0].since < parts[0].until == parts[1].since
        assert min(parts[0].value.mean, parts[1].value.mean) > max(parts[2].value.mean, parts[3].value.mean)
    assert found["rating", 4].value.high < found["rating", 1].value.low
    assert found["rating", 1].n == pytest.approx(120, abs=3)  # 40 answers, three pairs of raters each
    assert not periods(sheets(prompts=4)) and not periods([judged(n, "r", {}) for n in range(4)])


def test_alpha_of_all_quarters_is_alpha_of_the_whole() -> None:
    rows = sheets(prompts=80)
    parts = [one for (kind, _), one in periods(rows).items() if kind == "rating"]
    whole = figures(rows)["rating", "clarity", "α, interval"].value.mean
    assert np.average([one.value.mean for one in parts], weights=[one.n for one in parts]) == pytest.approx(whole)


def test_projects_without_comparisons_have_a_report(tmp_path: Path) -> None:
    rows = sheets(prompts=60)
    report = rater_report(rows, draws=20)
    assert report.pairs == 0 and report.kinds == {"human": 3} and not report.agreement and len(report.over_time) == 12
    assert not nothing_said(rows) and nothing_said([judged(1, "r", {"reason": "none"})])
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(raw_row(row)) + "\n" for row in rows))
    done = CliRunner().invoke(app, ["raters", str(path)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for words in (
        "rating clarity",
        "flag unsafe",
        "Gwet's AC1",
        "α, ordinal",
        "over time",
        "180 judgements by 3 human",
    ):
        assert words in done.stdout
    assert "skill" not in done.stdout
    found = json.loads(CliRunner().invoke(app, ["raters", str(path), "--json"]).stdout)
    assert {grade["kind"] for grade in found["grades"]} == {"rating", "flag", "step"} and found["over_time"]
