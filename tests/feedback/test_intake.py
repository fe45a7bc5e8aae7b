"""What goes in: every format, bad rows by their place, twice the same as once; and what comes out trains."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from tests.feedback.conftest import plain, say

from heedful.data.sources import read_demonstrations, read_rankings
from heedful.errors import InputError
from heedful.feedback import intake
from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.figures import figures
from heedful.feedback.intake import import_file
from heedful.feedback.judgements import raw_row
from heedful.feedback.labels import read_labels, rows_of
from heedful.feedback.order import Rule, ensemble_gap, narrowing, reorder
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, rater_named
from heedful.feedback.queue import lease, share_of
from heedful.feedback.sheet import Answered
from heedful.feedback.store import Store
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import assignment, completion, item, prompt

Make = Callable[..., Project]
PAIR = {"prompt": "q", "response_a": "one", "response_b": "two", "source_a": "sft", "source_b": "ppo"}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_labels_weight_comes_in_and_goes_out(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "rater": "x", "rater_kind": "human"}
    rows = [row | {"weight": 0.25}, row | {"prompt": "r"}]
    assert import_file(store, project.id, write(tmp_path / "a.jsonl", rows)).labels == 2
    with store.read() as connection:
        assert [label.weight for label in read_labels(connection, project)] == [0.25, 1.0]
        weights = [
            row.get("weight", 1.0)
            for row in rows_of(connection, project, ExportFormat.RANKINGS)
            if isinstance(row, dict)
        ]
    assert weights == [0.25, 1.0]


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(item)).scalar_one())


def test_bad_rows_are_named_good_ones_go_in_and_again_adds_what_is_missing(
    store: Store, make: Make, tmp_path: Path
) -> None:
    project = make(0)
    rows: list[Any] = [PAIR | {"prompt": f"q{i}"} for i in range(5)]
    bad = [*rows[:2], PAIR | {"response_b": 7}, "{broken", PAIR | {"response_b": "one"}, *rows[2:]]
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", bad))
    assert (report.items, report.there_already, report.fault_count) == (5, 0, 3)
    for line, word in ((3, "response_b"), (4, "JSON"), (5, "equal answers")):
        assert any(f"a.jsonl:{line}" in fault and word in fault for fault in report.faults), report.faults
    mended = [*rows, PAIR | {"prompt": "q9"}]
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", mended))
    assert (report.items, report.there_already, report.fault_count) == (1, 5, 0)
    assert count(store) == 6


def test_a_stray_row_turns_no_other_away(store: Store, make: Make, tmp_path: Path) -> None:
    """One pair among answers to be compared, at the beginning of a file or behind what tells its format."""
    stray = {"prompt": "s", "chosen": "a", "rejected": "b"}
    for name, before, after in (("first", 2, 4), ("last", 120, 0)):
        project = make(0, name=name)
        rows = [PAIR | {"prompt": f"q{i}"} for i in range(before + after)]
        path = write(tmp_path / f"{name}.jsonl", [*rows[:before], stray, *rows[before:]])
        report = import_file(store, project.id, path)
        assert (report.items, report.fault_count) == (before + after, 1)
        assert report.faults[0].startswith(f"{path}:{before + 1}: field 'response_a': found no such field")
        assert "the file's rows are answers to be compared" in report.faults[0]


def test_a_prompt_that_comes_again_keeps_what_the_first_row_says_of_it(
    store: Store, make: Make, tmp_path: Path
) -> None:
    rows = [PAIR | {"id": "mine", "lang": "de"}, PAIR | {"response_a": "other", "id": "later"}]
    report = import_file(store, make(0).id, write(tmp_path / "a.jsonl", rows))
    assert report.items == 2
    with store.read() as connection:
        [row] = connection.execute(select(prompt.c.name, prompt.c.meta)).all()
    assert (row.name, row.meta) == ("mine", {"lang": "de"})


def test_an_import_in_several_transactions_is_one(
    store: Store, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that meet again in another transaction are told apart as within one; only the labels' order may differ."""
    rows = [PAIR | {"prompt": f"q{i % 7}", "response_b": f"two {i % 5}", "id": str(i)} for i in range(50)]
    path = write(tmp_path / "a.jsonl", [*rows, PAIR | {"response_a": "I am Claude."}])
    found = []
    for size in (3, 1000):
        monkeypatch.setattr(intake, "CHUNK", size)
        project = make(0, name=f"by {size}")
        report = import_file(store, project.id, path)
        with store.read() as connection:
            names = select(prompt.c.name, prompt.c.key).where(prompt.c.project_id == project.id)
            texts = select(completion.c.text, completion.c.source, completion.c.leak, prompt.c.key).join(prompt)
            found.append(
                (
                    (report.items, report.there_already, report.leaks),
                    sorted(map(tuple, connection.execute(names))),
                    sorted(map(tuple, connection.execute(texts.where(prompt.c.project_id == project.id)))),
                )
            )
    assert found[0] == found[1] and found[0][0] == (36, 15, 1)


def test_csv_names_its_lines(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    path = tmp_path / "a.csv"
    path.write_text('prompt,response_a,response_b\n"q, 1",one,two\nq2,one\nq3,"a\nb",two\n')
    report = import_file(store, project.id, path)
    assert report.items == 2 and report.faults == [
        f"{path}:3: found 2 cells, expected 3, one for each column that the first line names; put quotes round a cell "
        "that holds a comma or a line end"
    ]


def test_each_sheet_gets_items_of_its_own_shape(store: Store, make: Make, tmp_path: Path) -> None:
    answers = [{"role": "assistant", "content": text} for text in ("a", "b", "c", "d")]
    rows = [
        {"prompt": [{"role": "user", "content": "q"}], "completion": [one], "policy": f"p{i}"}
        for i, one in enumerate(answers)
    ]
    path = write(tmp_path / "completions.jsonl", rows)
    for number, (preset, items) in enumerate((("pair", 6), ("rank", 1), ("steps", 4))):
        project = make(0, sheet=PRESETS[preset].sheet, name=f"p{number}")
        assert import_file(store, project.id, path).items == items
    single = write(tmp_path / "single.jsonl", rows[:1])
    assert "a single answer" in import_file(store, make(0, name="x").id, single).faults[0]


def test_labels_that_come_with_rows_are_kept_under_their_raters(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    row = {"prompt": "q", "chosen": "good", "rejected": "bad", "rater": "judge-1", "rater_kind": "ai", "margin": 2.0}
    path = write(tmp_path / "pairs.jsonl", [row])
    assert import_file(store, project.id, path).labels == 1
    assert import_file(store, project.id, path).labels == 0
    out = write(tmp_path / "out.jsonl", _rows(store, project, "rankings"))
    [ranking] = read_rankings([out])
    assert ranking.rater == "judge-1" and ranking.rater_kind == "ai" and ranking.margins == (2.0,)
    assert ranking.completions[ranking.ranks.index(0)] == "good"


def test_checks_need_an_order_and_take_it_from_the_row(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    rows = [
        {"prompt": "q", "chosen": "good", "rejected": "bad", "part": "gold"},
        PAIR | {"part": "gold"},
        {"prompt": "q2", "chosen": "good", "rejected": "bad", "part": "silver"},
        {"prompt": "q3", "chosen": "good", "rejected": "bad", "priority": "soon"},
        {"prompt": "q4", "chosen": "good", "rejected": "bad", "scores": [[1.0], [2.0, 3.0]]},
    ]
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", rows[:1] + rows[2:]))
    assert report.items == 1 and [word in fault for word, fault in zip(
        ("part", "priority", "scores"), report.faults, strict=True)] == [True] * 3  # fmt: skip
    report = import_file(store, project.id, write(tmp_path / "b.jsonl", rows[1:2]))
    assert "an order of the answers" in report.faults[0]
    with store.read() as connection:
        row = connection.execute(select(item.c.part, item.c.expected, item.c.target)).one()
    assert row.part == "gold" and row.expected["verdict"] == "prefer" and row.target == 0


def test_a_label_that_the_sheet_cannot_hold_is_named_and_the_rest_goes_in(
    store: Store, make: Make, tmp_path: Path
) -> None:
    rated = {"chosen": "good", "rejected": "bad", "rater": "judge-1", "rater_kind": "ai"}
    rows = [rated | {"prompt": "q1", "tie": True}, rated | {"prompt": "q2"}]
    path = write(tmp_path / "hh.jsonl", rows)
    project = make(0, sheet=PRESETS["hh"].sheet)
    for items, labels in ((2, 1), (0, 0)):  # and importing again goes through as well
        report = import_file(store, project.id, path)
        assert (report.items, report.labels, report.fault_count) == (items, labels, 1)
        assert "hh.jsonl:1" in report.faults[0] and "choose one answer" in report.faults[0]
    much = write(tmp_path / "much.jsonl", [rated | {"prompt": "q", "margin": 4.0}])
    report = import_file(store, make(0, name="pairs").id, much)
    assert report.items == 1 and "much.jsonl:1" in report.faults[0] and "from 1 to 3" in report.faults[0]
    compared = write(tmp_path / "steps.jsonl", rows[1:])
    report = import_file(store, make(0, name="steps", sheet=PRESETS["steps"].sheet).id, compared)
    assert report.items == 2 and "steps.jsonl:1" in report.faults[0] and "compares nothing" in report.faults[0]


def test_places_that_nobody_saw_are_not_counted(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    row = {"prompt": "q", "chosen": "good", "rejected": "bad", "rater": "ada"}
    import_file(store, project.id, write(tmp_path / "pairs.jsonl", [row, row | {"prompt": "q2"}]))
    with store.read() as connection:
        found = figures(connection, project.id, names=False)
        labels = list(read_labels(connection, project))
    assert found.side.n == found.side.first == 0 and found.verdicts == {"prefer": 2}
    assert [label.shown for label in labels] == [(), ()]


def test_two_answers_on_a_sheet_of_ranks_are_ranked(
    store: Store, make: Make, people: list[int], tmp_path: Path
) -> None:
    project = make(0, plain(gold=0.5), sheet=PRESETS["rank"].sheet)
    row = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    rows = [row | {"rater": "j", "rater_kind": "ai"}, row | {"prompt": "q2", "part": "gold"}]
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", rows))
    assert (report.items, report.labels, report.faults) == (2, 1, [])
    with store.read() as connection:
        expected = connection.execute(select(item.c.expected).where(item.c.part == "gold")).scalar_one()
        assert expected == {"ranks": [0, 1]}
        assert [label.value for label in read_labels(connection, project)] == [{"ranks": [0, 1]}]


RANKED = {"prompt": "q", "completions": ["a", "b", "c"], "ranks": [2, 0, 1]}


def test_a_check_of_three_answers_is_three_checks_and_a_label_of_three_three_labels(
    store: Store, make: Make, tmp_path: Path
) -> None:
    project = make(0)
    rows = [RANKED | {"part": "gold", "explanation": "why"}, RANKED | {"prompt": "q2", "rater": "j"}]
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", rows))
    assert (report.items, report.labels, report.faults) == (6, 3, [])
    with store.read() as connection:
        checks = connection.execute(select(item.c.expected, item.c.explanation).where(item.c.part == "gold")).all()
        found = [one.ranking() for one in read_labels(connection, project)]
    assert [row.expected["preferred"] for row in checks] == [1, 1, 0]  # b over a, c over a, b over c
    assert {row.explanation for row in checks} == {"why"}
    better = {one.completions[one.ranks.index(0)] + one.completions[one.ranks.index(1)] for one in found if one}
    assert better == {"ba", "ca", "bc"}
    steps = make(0, name="steps", sheet=PRESETS["steps"].sheet)
    report = import_file(store, steps.id, write(tmp_path / "b.jsonl", rows[:1]))
    assert report.items == 0 and "compares answers" in report.faults[0]


def test_all_that_raters_said_of_one_pair_is_kept(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    pair = {"prompt": "q", "response_a": "one", "response_b": "two"}
    rows = [pair | {"winner": "a", "rater": "x"}, pair | {"winner": "b", "rater": "y"}, pair | {"winner": "tie"}, pair]
    path = write(tmp_path / "a.jsonl", [*rows, pair | {"winner": "b", "rater": "x"}])
    report = import_file(store, project.id, path, "unnamed")
    assert (report.items, report.labels, report.fault_count) == (1, 3, 1)
    assert "a.jsonl:5" in report.faults[0] and "x has said 'prefer 0' of these answers before" in report.faults[0]
    with store.read() as connection:
        said = {(label.rater, label.value["verdict"]) for label in read_labels(connection, project)}
    assert said == {("x", "prefer"), ("y", "prefer"), ("unnamed", "tie")}
    check = write(tmp_path / "b.jsonl", [pair | {"prompt": "q2", "winner": "b", "part": "gold"}])
    assert import_file(store, project.id, check).items == 1
    with store.read() as connection:
        assert connection.execute(select(item.c.expected).where(item.c.part == "gold")).scalar_one()["preferred"] == 1


def test_whoever_judges_the_same_answers_again_in_a_file_is_another_one(
    store: Store, make: Make, tmp_path: Path
) -> None:
    """Where nobody is named: equal or not, no vote is lost; and importing again adds none."""
    project = make(0)
    ranked = {"prompt": "q", "completions": ["one", "two", "three"], "ranks": [0, 1, 2]}
    pair = {"prompt": "q", "completions": ["two", "one"], "ranks": [0, 1]}
    path = write(tmp_path / "a.jsonl", [ranked, pair, pair, pair | {"rater": "x"}, {**pair, "prompt": "r"}])
    for labels in (7, 0):
        report = import_file(store, project.id, path, "ann")
        assert (report.labels, report.faults) == (labels, [])
    with store.read() as connection:
        labels_of = Counter(label.rater for label in read_labels(connection, project))
    assert labels_of == {"ann": 4, "ann 2": 1, "ann 3": 1, "x": 1}, "a row's pairs are one rater's"


def test_messages_beside_a_prompt_are_no_prompt(store: Store, make: Make, tmp_path: Path) -> None:
    """UltraFeedback's rows: the conversation stands in them once more."""
    asked = {"role": "user", "content": "q"}
    chosen, rejected = ([asked, {"role": "assistant", "content": text}] for text in ("good", "bad"))
    row = {"prompt": "q", "chosen": chosen, "rejected": rejected, "messages": chosen}
    report = import_file(store, make(0).id, write(tmp_path / "a.jsonl", [row]), "x")
    assert (report.items, report.labels, report.faults) == (1, 1, [])


def test_equal_texts_of_two_models_keep_their_names(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    swapped = PAIR | {"response_a": "two", "response_b": "one"}
    for _ in range(2):  # and again adds nothing
        report = import_file(store, project.id, write(tmp_path / "a.jsonl", [PAIR, swapped]))
    assert report.there_already == 2
    with store.write() as connection:
        judge = rater_named(connection, "ai", "j")
        for key in list(connection.execute(select(item.c.id)).scalars()):
            add_machine_label(connection, project, key, judge, Answered(verdict="tie"), str(uuid.uuid4()), 1.0)
        labels = list(read_labels(connection, project))
    found = [dict(zip(one.completions, one.sources, strict=True)) for one in labels]
    assert found == [{"one": "sft", "two": "ppo"}, {"two": "sft", "one": "ppo"}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "q", "completion": text} for text in ("one", "two", "three")],
        [{"prompt": "q", "completion": text, "policy": "given"} for text in ("one", "two", "three")],
        [{"prompt": "q", "completions": ["one", "two", "three"]}],
        [{"prompt": "q", "response_a": "one", "response_b": "two", "response_c": "three", "response_d": None}],
        [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}]}
         for text in ("one", "two", "three")],
    ],
)  # fmt: skip
def test_candidates_go_in_however_they_are_written(store: Store, make: Make, tmp_path: Path, rows: list[Any]) -> None:
    project = make(0, sheet=PRESETS["rank"].sheet)
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", rows))
    assert (report.items, report.faults) == (1, [])
    with store.write() as connection:
        judge = rater_named(connection, "ai", "j")
        add_machine_label(connection, project, 1, judge, Answered(ranks=(0, 1, 2)), str(uuid.uuid4()), 1.0)
        [label] = read_labels(connection, project)
    assert label.completions == ("one", "two", "three") and label.sources == ("given",) * 3
    assert label.prompt.messages[0].content == "q" and not label.prompt.meta


def test_rows_without_answers_are_told_what_to_write(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    report = import_file(store, project.id, write(tmp_path / "a.jsonl", [{"prompt": "q"}]))
    assert report.items == 0 and "prompt, response_a, response_b" in report.faults[0]
    (tmp_path / "a.csv").write_text("prompt,one,two\nq,x,y\n")
    assert "prompt, response_a, response_b" in import_file(store, project.id, tmp_path / "a.csv").faults[0]
    listed = {"prompt": "q", "completions": ["x", "y"], "sources": ["m"]}
    assert "one for each of 2" in import_file(store, project.id, write(tmp_path / "b.jsonl", [listed])).faults[0]


def test_a_file_of_another_kind_is_refused(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0)
    with pytest.raises(InputError, match="no such file"):
        import_file(store, project.id, tmp_path / "none.csv")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match="reads"):
        import_file(store, project.id, tmp_path / "a.png")


def _rows(store: Store, project: Project, kind: str) -> list[Any]:
    with store.read() as connection:
        return [row for row in rows_of(connection, project, ExportFormat(kind)) if not isinstance(row, LeftOut)]


def _answer_all(store: Store, project: Project, rater: int, value: Any) -> None:
    while True:
        with store.write() as connection:
            held = lease(connection, project, rater, 0.0, 1)
            if not held:
                return
            say(connection, project, held[0], rater, value)


def test_an_edited_answer_is_a_demonstration_and_beats_both(
    store: Store, make: Make, people: list[int], tmp_path: Path
) -> None:
    project = make(1, sheet=PRESETS["edit"].sheet)
    value = {"verdict": "prefer", "preferred": 1, "strength": 1, "edited": "as it should be", "edited_from": 1}
    _answer_all(store, project, people[0], value)
    [demonstration] = read_demonstrations(write(tmp_path / "d.jsonl", _rows(store, project, "demonstrations")))
    assert demonstration.completion == "as it should be"
    [ranking] = read_rankings([write(tmp_path / "r.jsonl", _rows(store, project, "rankings"))])
    with store.read() as connection:
        shown = connection.execute(select(assignment.c.shown)).scalar_one()
    order = [text for _, text in sorted(zip(ranking.ranks, ranking.completions, strict=True))]
    assert order == ["as it should be", f"answer 0.{shown[1]}", f"answer 0.{shown[0]}"]


def test_rankings_with_ties_and_unranked_answers(store: Store, make: Make, people: list[int], tmp_path: Path) -> None:
    project = make(1, sheet=PRESETS["rank"].sheet, answers=4)
    _answer_all(store, project, people[0], {"ranks": [1, 0, None, 1]})
    [ranking] = read_rankings([write(tmp_path / "r.jsonl", _rows(store, project, "rankings"))])
    assert sorted(ranking.ranks) == [0, 1, 1] and len(ranking.completions) == 3
    [raw] = _rows(store, project, "raw")
    assert (
        len(raw["completions"]) == 4 and sorted(raw["shown"]) == [0, 1, 2, 3] and raw["value"]["ranks"].count(None) == 1
    )
    assert raw["completions"][raw["shown"][1]] == ranking.completions[ranking.ranks.index(0)]


def test_both_good_and_both_bad_stay_apart_in_the_raw_log(store: Store, make: Make, people: list[int]) -> None:
    project = make(2)
    with store.write() as connection:
        for value, key in zip(({"verdict": "both_good"}, {"verdict": "both_bad"}),
                              lease(connection, project, people[0], 0.0, 2), strict=True):  # fmt: skip
            say(connection, project, key, people[0], value)
        labels = list(read_labels(connection, project))
    assert {raw_row(label)["value"]["verdict"] for label in labels} == {"both_good", "both_bad"}
    assert [row["ranks"] for row in _rows(store, project, "rankings")] == [[0, 0], [0, 0]]


def test_the_queue_follows_the_rule_and_keeps_a_random_share(store: Store, make: Make, tmp_path: Path) -> None:
    project = make(0, plain(random=0.25))
    rows = [PAIR | {"prompt": f"q{i}", "scores": [[0.0, 0.0], [i + 1.0, -i - 1.0]]} for i in range(100)]
    import_file(store, project.id, write(tmp_path / "a.jsonl", rows))
    with store.write() as connection:
        placed = reorder(connection, project, "ensemble")
        found = connection.execute(select(item.c.chosen_by, item.c.scores).order_by(item.c.place)).all()
        with pytest.raises(InputError, match="no waiting item has a label"):
            reorder(connection, project, "disagreement")
    assert 10 <= placed["random"] <= 45 and placed["ensemble"] == 100 - placed["random"]
    gaps = [ensemble_gap(row.scores) for row in found if row.chosen_by == "ensemble"]
    assert gaps == sorted(gaps, reverse=True)
    places = [i for i, row in enumerate(found) if row.chosen_by == "random"]
    assert min(places) < 25 and max(places) > 60  # all along, not at the end


def test_priorities_and_the_random_mark_outlive_an_order(store: Store, make: Make, tmp_path: Path) -> None:
    """What a rule chose from is no random part any more, and what its row wants first comes first whatever the rule."""
    project = make(0, plain(random=0.25))
    scored = {"scores": [[0.0, 0.0], [1.0, -1.0]]}
    rows = [PAIR | {"prompt": f"q{i}"} | (scored if i % 2 else {}) for i in range(100)]
    rows[3] |= {"priority": 2}
    import_file(store, project.id, write(tmp_path / "a.jsonl", rows))

    def order(connection: Connection, rule: Rule) -> tuple[int, dict[int, str]]:
        reorder(connection, project, rule)
        found = connection.execute(select(item.c.id, item.c.chosen_by).order_by(item.c.place, item.c.id)).all()
        return found[0].id, {row.id: row.chosen_by for row in found}

    with store.write() as connection:
        first, by_scores = order(connection, "ensemble")
        drawn = {key for key in by_scores if share_of(project.seed, "random", key) < 0.25} - {first}
        assert by_scores[first] == "given"
        assert {key for key, why in by_scores.items() if why == "random"} == drawn
        assert set(by_scores.values()) == {"given", "random", "ensemble", "rest"}
        again, by_chance = order(connection, "random")
        assert again == first and by_chance[first] == "given"
        assert {key for key, why in by_chance.items() if why == "random"} == drawn
    import_file(store, project.id, write(tmp_path / "b.jsonl", [PAIR | {"prompt": "new"}]))
    with store.write() as connection:
        _, later = order(connection, "random")
    assert {key for key, why in later.items() if why == "random"} == drawn | {max(later)}


def test_another_judgement_narrows_most_where_few_were_made() -> None:
    wins = {("a", "b"): 50.0, ("b", "a"): 50.0, ("a", "c"): 2.0, ("c", "a"): 2.0, ("b", "c"): 100.0}
    assert narrowing(wins, "a", "c") > narrowing(wins, "a", "b") > narrowing(wins, "b", "c") > 0
    assert narrowing(wins, "a", "b") == narrowing(wins, "b", "a") and narrowing(wins, "a", "a") == 0
    assert ensemble_gap([[1.0, 2.0], [3.0, 4.0]]) == 0  # both models see the same gap


def test_judgements_that_name_nobody_are_counted_where_they_are_left_out(
    store: Store, make: Make, tmp_path: Path
) -> None:
    """A choice, a preference and two single labels; and what is kept under a name is not counted."""
    project = make(0)
    rows = [
        {"prompt": "q", "response_a": "one", "response_b": "two", "winner": "a"},
        {"prompt": "r", "response_a": "one", "response_b": "two"},
    ]
    single = [{"prompt": "s", "completion": text, "label": text == "one"} for text in ("one", "two")]
    for number, given in enumerate((rows, [{"prompt": "t", "chosen": "one", "rejected": "two"}], single)):
        path = write(tmp_path / f"{number}.jsonl", given)
        report = import_file(store, project.id, path)
        assert (report.nameless, report.labels) == ((1, 1, 2)[number], 0)
        assert import_file(store, project.id, path, "ann").nameless == 0
