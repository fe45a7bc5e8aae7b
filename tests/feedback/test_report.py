"""The report and the commands, as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heedful.cli import app
from heedful.errors import InputError
from heedful.feedback.judgements import Judgement, raw_row
from heedful.feedback.report import rater_report
from heedful.records import Message, Prompt

RUN = CliRunner()


def crowd(seed: int = 0, prompts: int = 60) -> list[Judgement]:
    """Five honest raters and one who prefers what lies left; strengths, and ratings by two criteria."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(prompts):
        prompt = Prompt(id=str(number), messages=(Message("user", f"Question {number}?"),))
        quality = rng.normal(0, 1, 2)
        for rater in range(6):
            shown = tuple(int(place) for place in rng.permutation(2))
            gap = (quality + rng.normal(0, 0.6, 2)) @ (1, -1)
            best = shown[0] if rater == 5 else int(gap < 0)
            ratings = [{"clarity": int(np.clip(round(4 + q + rng.normal(0, 0.5)), 1, 7))} for q in quality]
            value = {"verdict": "prefer", "preferred": best, "strength": min(3, 1 + int(abs(gap))), "ratings": ratings}
            rows.append(
                Judgement(
                    prompt=prompt,
                    completions=(f"one {number}", f"another, longer {number}"),
                    value=value,
                    rater="lefty" if rater == 5 else f"r{rater}",
                    shown=shown,
                    at=1e9 + len(rows),
                )
            )
    return rows


def write(path: Path, judgements: list[Judgement]) -> Path:
    path.write_text("".join(json.dumps(raw_row(judgement)) + "\n" for judgement in judgements))
    return path


def test_the_report_says_what_was_planted() -> None:
    report = rater_report(crowd(), draws=200)
    figures = {figure.name: figure for figure in report.agreement}
    assert {"raw agreement, ties left out", "Krippendorff's α, nominal", "Fleiss' κ"} <= figures.keys()
    assert {"α of strength, ordinal", "α of strength, interval"} <= figures.keys()
    for figure in figures.values():
        assert figure.value.low <= figure.value.mean <= figure.value.high and figure.n > 0
    ratings = {grade.name: grade for grade in report.grades if (grade.kind, grade.key) == ("rating", "clarity")}
    assert ratings["α, interval"].value.mean > 0.6 and ratings["α, interval"].n == 120
    assert [(f.kind, f.raters) for f in report.findings if f.kind == "position"] == [("position", ("lefty",))]
    lowest = min(report.raters, key=lambda rater: rater.skill)
    assert lowest.name == "lefty" and lowest.lean > 0.8
    assert len(report.between) == 15 and 0.5 < report.majority_of_others < report.ceiling < 1


def test_a_ranking_by_two_raters_has_a_tau() -> None:
    prompt = Prompt(id="p", messages=(Message("user", "Why?"),))
    rows = [
        Judgement(prompt=prompt, completions=("a", "b", "c"), value={"ranks": [0, 1, 2]}, rater="x"),
        Judgement(prompt=prompt, completions=("c", "b", "a"), value={"ranks": [1, 2, 0]}, rater="y"),
    ]
    found = {figure.name: figure.value.mean for figure in rater_report(rows, draws=10).agreement}
    assert found["Kendall's τ-b of rankings"] == pytest.approx(1 / 3), "a > b > c against a > c > b"


def test_ids_of_files_neither_join_nor_part_prompts() -> None:
    def judged(number: str, text: str, value: dict[str, object], rater: str, answers: tuple[str, ...]) -> Judgement:
        prompt = Prompt(id=number, messages=(Message("user", text),))
        return Judgement(prompt=prompt, completions=answers, value=value, rater=rater)

    three, two = ("a", "b", "c"), ("a", "b")
    rows = [
        judged("1", "Why?", {"ranks": [0, 1, 2]}, "x", three),
        judged("7", "Why?", {"ranks": [0, 1, 2]}, "y", three),  # the same prompt by another id
        judged("1", "How?", {"ranks": [2, 1, 0]}, "z", three),  # another prompt by the same id
        judged("2", "Who?", {"verdict": "prefer", "preferred": 0, "ratings": [{"k": 5}, {"k": 1}]}, "x", two),
        judged("3", "Who?", {"verdict": "prefer", "preferred": 1, "ratings": [{"k": 5}, {"k": 1}]}, "y", two),
        judged("2", "When?", {"verdict": "prefer", "preferred": 0, "ratings": [{"k": 1}, {"k": 5}]}, "z", two),
    ]
    report = rater_report(rows, draws=10)
    found = {figure.name: figure for figure in report.agreement}
    assert (found["Kendall's τ-b of rankings"].value.mean, found["Kendall's τ-b of rankings"].n) == (1, 1)
    assert report.grades[0].key == "k" and report.grades[0].n == 2
    assert (report.pairs, report.overlapping) == (3 + 3 + 1 + 1, 3 + 1)
    assert {look.prompt for look in report.cases} == {"2"}, "a look names the prompt as its file does"


def test_json_holds_all_of_it_and_no_nan(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", crowd(prompts=12))
    done = RUN.invoke(app, ["raters", str(path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["judgements"] == 72 and len(found["raters"]) == 6 and found["published"]
    case = found["cases"][0]
    number = case["prompt"]
    assert {case["first"], case["second"]} == {f"one {number}", f"another, longer {number}"}
    assert RUN.invoke(app, ["raters", str(path), "--json"]).stdout == done.stdout, "the same seed, the same bytes"


def test_the_tables(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["raters", str(write(tmp_path / "log.jsonl", crowd()))])
    assert done.exit_code == 0
    order = (
        "Krippendorff's α, nominal",
        "raw agreement",
        "HH",
        "guesses",
        "What lay left was preferred",
        "second look",
    )
    found = [done.stdout.find(words) for words in (*order, "of single answers", "over time")]
    assert "lefty" in done.stdout and -1 not in found and found == sorted(found), (
        "the headline first, then what explains it"
    )


def test_one_rater_alone_has_no_agreement_but_a_report(tmp_path: Path) -> None:
    alone = [judgement for judgement in crowd() if judgement.rater == "r0"]
    done = RUN.invoke(app, ["raters", str(write(tmp_path / "log.jsonl", alone))])
    assert done.exit_code == 0 and "No pair has two votes" in done.stdout


def test_unsound_rows_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", crowd(prompts=5))
    with path.open("a") as stream:
        stream.write('{"prompt": 3, "completions": ["x", "y"], "value": {}, "rater": "r"}\n')
    done = RUN.invoke(app, ["raters", str(path)])
    assert done.exit_code == 2 and f"{path}:31: field 'prompt'" in done.stderr and "30 judgements" in done.stdout
    out = RUN.invoke(app, ["export", str(path), "--format", "trl", "--out", str(tmp_path / "trl")])
    assert out.exit_code == 2 and "30 rows on 5 prompts" in out.stdout.replace("\n", "")
    assert (tmp_path / "trl" / "train.jsonl").read_text().count("\n") == 30


def test_export_and_import_by_command(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", crowd(prompts=20))
    args = ["export", str(path), "--format", "nemo-rl", "--labels", "crowd", "--heldout", "0.3", "--out"]
    done = RUN.invoke(app, [*args, str(tmp_path / "nemo")])
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "nemo" / "manifest.json").read_text())
    assert sum(manifest["counts"]["rows"].values()) == 20 and manifest["query"]["rule"] == "crowd"
    again = RUN.invoke(app, ["import", str(tmp_path / "nemo" / "train.jsonl"), "--into", str(tmp_path / "all.jsonl")])
    assert again.exit_code == 0 and "judgements added, 0 were there" in again.stdout


def test_a_consensus_says_what_became_of_every_pair(tmp_path: Path) -> None:
    """Of 23 pairs: one on which both raters are even, two with one vote; and a judgement that compares nothing."""

    def judged(number: int, preferred: int, rater: str) -> Judgement:
        prompt = Prompt(id=str(number), messages=(Message("user", f"{number}?"),))
        value = {"verdict": "prefer", "preferred": preferred}
        return Judgement(prompt=prompt, completions=("x", "y"), value=value, rater=rater)

    rows = [judged(number, 0, rater) for number in range(20) for rater in "ab"]
    rows += [judged(20, 0, "a"), judged(20, 1, "b"), judged(21, 0, "a"), judged(22, 0, "a")]
    rows.append(replace(judged(23, 0, "a"), value={"verdict": "cant_judge"}))
    args = ["export", str(write(tmp_path / "log.jsonl", rows)), "--format", "trl", "--labels", "majority"]
    done = RUN.invoke(app, [*args, "--fewest", "2", "--out", str(tmp_path / "trl")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1:] == [
        "pairs: 23 judged, 20 with a label, 3 without",
        "  left out 1: a tie has no better answer",
        "  left out 2: fewer than 2 votes",
        "judgements of which no label was made:",
        "  left out 1: nothing was compared",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["export", "FILE", "--format", "word", "--out", "x"], "--format word: expected one of raw"),
        (["export", "FILE", "--format", "trl", "--kind", "robot", "--out", "x"], "--kind robot"),
        (["export", "FILE", "--format", "trl", "--fewest", "3", "--out", "x"], "--labels"),
        (["raters", "none.jsonl"], "there is no such file"),
    ],
    ids=["format", "kind", "fewest", "file"],
)
def test_bad_options_are_one_sentence(args: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", crowd(prompts=2))
    done = RUN.invoke(app, [str(path) if arg == "FILE" else arg for arg in args])
    assert isinstance(done.exception, InputError) and message in str(done.exception)


def test_what_chance_placed_is_counted_alone_where_asked(tmp_path: Path) -> None:
    rows = [replace(one, chosen_by="random" if i < 180 else "ensemble") for i, one in enumerate(crowd())]
    path = write(tmp_path / "log.jsonl", rows)
    done = RUN.invoke(app, ["raters", str(path), "--by-chance", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["judgements"] == 180
    path = write(tmp_path / "log.jsonl", rows[180:])
    done = RUN.invoke(app, ["raters", str(path), "--by-chance"])
    assert isinstance(done.exception, InputError) and "items placed by chance" in str(done.exception)


def test_labels_need_no_torch(tmp_path: Path) -> None:
    """Nor what would only take room in a studio whose dashboard was opened."""
    path = write(tmp_path / "log.jsonl", crowd(prompts=4))
    code = f"""
import sys
from pathlib import Path
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import Query, export
from heedful.feedback.imports import gather
from heedful.feedback.imports import read_judgements
from heedful.feedback.report import rater_report
rater_report(list(read_judgements({str(path)!r})), draws=10)
export([{str(path)!r}], Query(format=ExportFormat.TRL, rule="crowd"), {str(tmp_path / "out")!r})
heavy = {{"torch", "transformers", "scipy.stats"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
