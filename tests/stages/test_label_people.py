"""Labels by people: candidates go into the studio, what was said comes out as rankings, again and again."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.feedback.conftest import say

from heedful.config import LabelConfig, PeopleLabels
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.feedback.projects import change_project, find_project, progress, rater_named
from heedful.feedback.queue import lease
from heedful.feedback.sheet import MOST, read_answered
from heedful.feedback.store import open_store
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import item
from heedful.records import Completion, Message, Prompt, to_row
from heedful.run import Run
from heedful.stages import asking
from heedful.stages.label import label


def candidates(path: Path, prompts: int = 10, answers: int = 3, *, ids: str = "q", about: str = "question") -> str:
    rows = [
        to_row(
            Completion(
                prompt=Prompt(id=f"{ids}{i}", messages=(Message("user", f"{about} {i}"),)),
                text=f"answer {i}.{j}",
                policy=f"model-{j}",
            )
        )
        for i in range(prompts)
        for j in range(answers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(tmp_path: Path, *, wait: bool, answers: int = 3, **more: str) -> LabelConfig:
    by = PeopleLabels(database=str(tmp_path / "studio.db"), project="round 1", wait=wait)
    path = candidates(tmp_path / "completions.jsonl", answers=answers, **more)
    return LabelConfig(completions=[path], borrowed=0, holdout=0.2, by=by)


def answer_all(database: str, most: int = 1000) -> int:
    """Somebody who prefers answers by their number, whatever order they see."""
    store, done = open_store(database), 0
    while done < most:
        with store.write() as connection:
            project = find_project(connection, "round 1")
            assert project is not None
            rater = rater_named(connection, "human", f"person-{done % 3}")
            held = lease(connection, project, rater, time.time(), 1)
            if not held:
                break
            row = connection.exec_driver_sql(f"SELECT shown FROM assignment WHERE id = {held[0]}").one()
            say(connection, project, held[0], rater, {"ranks": json.loads(row.shown)}, now=time.time())
            done += 1
    store.close()
    return done


def test_nobody_has_said_anything_yet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody has compared"):
        label(config(tmp_path, wait=False), Run(tmp_path / "label", "label", 0))


def test_the_stage_waits_and_leaves_rankings_of_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "EVERY", 0.05)
    asked = config(tmp_path, wait=True)
    run = Run(tmp_path / "label", "label", 0)
    working = threading.Thread(target=lambda: label(asked, run))
    working.start()
    database = str(tmp_path / "studio.db")
    end = time.monotonic() + 60
    while working.is_alive() and time.monotonic() < end:
        store = open_store(database)
        with store.read() as connection:
            project = find_project(connection, "round 1")
            ready = project is not None and progress(connection, project.id).items == 10
        store.close()
        if ready:
            answer_all(database)
        time.sleep(0.05)
    working.join(10)
    training, heldout = (read_rankings([run.path / name]) for name in ("rankings.jsonl", "heldout.jsonl"))
    assert {r.prompt.id for r in training} | {r.prompt.id for r in heldout} == {f"q{i}" for i in range(10)}
    assert not {r.prompt.id for r in training} & {r.prompt.id for r in heldout}
    assert len({r.prompt.id for r in heldout}) == 2
    for ranking in (*training, *heldout):
        assert ranking.rater_kind == "human"
        assert [text[-1] for _, text in sorted(zip(ranking.ranks, ranking.completions, strict=True))] == ["0", "1", "2"]
    again = Run(tmp_path / "again", "label", 0)
    label(config(tmp_path, wait=False), again)
    assert (again.path / "rankings.jsonl").read_bytes() == (run.path / "rankings.jsonl").read_bytes()


def test_labels_of_machines_in_the_project_are_no_peoples(tmp_path: Path) -> None:
    asked = config(tmp_path, wait=False)
    with pytest.raises(InputError, match="nobody"):
        label(asked, Run(tmp_path / "first", "label", 0))
    store = open_store(str(tmp_path / "studio.db"))
    with store.write() as connection:
        project = find_project(connection, "round 1")
        assert project is not None
        judge = rater_named(connection, "ai", "judge-1")
        for key in list(connection.execute(select(item.c.id)).scalars()):
            said = read_answered({"ranks": [0, 1, 2]})
            add_machine_label(connection, project, key, judge, said, str(uuid.uuid4()), 1.0)
    store.close()
    with pytest.raises(InputError, match="nobody"):
        label(asked, Run(tmp_path / "second", "label", 0))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stage says; a stage that goes on waiting is an error."""
    lines: list[str] = []
    monkeypatch.setattr(Run, "say", lambda run, text: lines.append(text))
    monkeypatch.setattr("heedful.stages.asking.time.sleep", lambda seconds: pytest.fail("it waits"))
    return lines


def test_a_later_round_finds_its_labels_under_its_own_ids(tmp_path: Path) -> None:
    """The table keeps the first ids that it saw, cut short; what is asked for goes by prompts and answers."""
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False), Run(tmp_path / "one", "label", 0))
    answer_all(str(tmp_path / "studio.db"))
    ids = "second round, " + "by a long name " * 10
    run = Run(tmp_path / "two", "label", 0)
    label(config(tmp_path, wait=False, ids=ids), run)
    training, heldout = (read_rankings([run.path / name]) for name in ("rankings.jsonl", "heldout.jsonl"))
    assert {r.prompt.id for r in (*training, *heldout)} == {f"{ids}{i}" for i in range(10)}
    assert len({r.prompt.id for r in heldout}) == 2
    with pytest.raises(InputError, match="nobody"):  # other answers to these prompts are other items
        label(config(tmp_path, wait=False, answers=4), Run(tmp_path / "three", "label", 0))


def test_only_its_own_items_are_waited_for(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False), Run(tmp_path / "mine", "label", 0))
    answer_all(str(tmp_path / "studio.db"))
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False, about="something else"), Run(tmp_path / "others", "label", 0))
    label(config(tmp_path, wait=True), Run(tmp_path / "again", "label", 0))
    assert not any("don't get" in line for line in said)


def test_a_closed_project_ends_the_wait_and_says_what_is_missing(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False), Run(tmp_path / "mine", "label", 0))
    answer_all(str(tmp_path / "studio.db"), most=7)
    store = open_store(str(tmp_path / "studio.db"))
    with store.write() as connection:
        project = find_project(connection, "round 1")
        assert project is not None
        change_project(connection, project.id, open=False)
        lacking = len(connection.execute(select(item.c.id).where(item.c.done < item.c.target)).all())
    store.close()
    assert lacking >= 3  # the project draws some items that several people answer
    label(config(tmp_path, wait=True), Run(tmp_path / "again", "label", 0))
    assert f"{lacking} of 10 items don't get all their judgements: the project is closed" in said


def test_candidates_that_the_sheet_cannot_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False), Run(tmp_path / "one", "label", 0))
    with pytest.raises(InputError, match=rf"candidates of prompt 'q0' for project 'round 1'.*found {MOST + 1} answers"):
        label(config(tmp_path, wait=False, answers=MOST + 1), Run(tmp_path / "two", "label", 0))


def test_two_answers_make_a_comparison(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody"):
        label(config(tmp_path, wait=False, answers=2), Run(tmp_path / "label", "label", 0))
    store = open_store(str(tmp_path / "studio.db"))
    with store.read() as connection:
        project = find_project(connection, "round 1")
    store.close()
    assert project is not None and project.sheet.compare == "pair"


def test_people_are_asked_what_their_sheet_asks(tmp_path: Path) -> None:
    asked = config(tmp_path, wait=False).model_copy(update={"ask": "steps"})
    with pytest.raises(InputError, match="leave ask"):
        label(asked, Run(tmp_path / "label", "label", 0))


def vote(database: str, rater: str, ranks: list[int], kind: str = "human") -> None:
    """Somebody ranks every item so, in stored order."""
    store = open_store(database)
    with store.write() as connection:
        project = find_project(connection, "round 1")
        assert project is not None
        who = rater_named(connection, kind, rater)
        for key in list(connection.execute(select(item.c.id)).scalars()):
            add_machine_label(connection, project, key, who, read_answered({"ranks": ranks}), str(uuid.uuid4()), 1.0)
    store.close()


def test_labels_of_machines_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    asked = config(tmp_path, wait=False)
    with pytest.raises(InputError, match="nobody"):
        label(asked, Run(tmp_path / "first", "label", 0))
    vote(str(tmp_path / "studio.db"), "judge-1", [0, 1, 2], "ai")
    for number, raters in enumerate(("machines", "all")):
        by = asked.by.model_copy(update={"raters": raters})
        run = Run(tmp_path / f"run-{number}", "label", 0)
        label(asked.model_copy(update={"by": by}), run)
        rankings = list(read_rankings([run.path / "rankings.jsonl"]))
        assert len(rankings) == 8 and {one.rater_kind for one in rankings} == {"ai"}


def test_a_label_that_the_raters_agree_on_counts_as_sure_as_they_are(tmp_path: Path) -> None:
    """Of three raters all put 0 before 2 and 1 before 2, and two of them 0 before 1: p = 2/3, so |2p − 1| = 1/3."""
    asked = config(tmp_path, wait=False)
    with pytest.raises(InputError, match="nobody"):
        label(asked, Run(tmp_path / "first", "label", 0))
    for name, ranks in (("a", [0, 1, 2]), ("b", [0, 1, 2]), ("c", [1, 0, 2])):
        vote(str(tmp_path / "studio.db"), name, ranks, "ai")
    by = asked.by.model_copy(update={"raters": "all", "consensus": "soft"})
    run = Run(tmp_path / "agreed", "label", 0)
    label(asked.model_copy(update={"by": by}), run)
    rankings = list(read_rankings([run.path / "rankings.jsonl"]))
    assert len(rankings) == 8 * 3
    for one in rankings:
        better, worse = (one.completions[place][-1] for place in sorted((0, 1), key=lambda i: one.ranks[i]))
        assert better + worse in ("01", "02", "12")
        assert one.weight == pytest.approx(1 / 3 if better + worse == "01" else 1, abs=1e-3)
        assert one.margins and one.margins[0] > 0
    heldout = list(read_rankings([run.path / "heldout.jsonl"]))
    assert len(heldout) == 2 * 3 and {len(one.completions) for one in heldout} == {3}  # each rater's own
