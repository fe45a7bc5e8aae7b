"""Qualifying on training items before real ones come, and items that go only to raters with a skill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from tests.feedback.conftest import new_item, plain, say

from heedful.errors import InputError
from heedful.feedback.accounts import create_account, give_skills
from heedful.feedback.disputes import look_through
from heedful.feedback.intake import Imported, import_file, import_items
from heedful.feedback.projects import (
    Project,
    QueuePolicy,
    add_members,
    lacking_skills,
    rater_for,
    skill_named,
)
from heedful.feedback.qualification import qualification
from heedful.feedback.queue import AHEAD, lease
from heedful.feedback.sheet import Answered, in_shown_order
from heedful.feedback.store import Store
from heedful.feedback.tables import assignment, item

Make = Callable[..., Project]
RIGHT = Answered(verdict="prefer", preferred=0, strength=2)


def answer(connection: Connection, project: Project, held: int, rater: int, right: bool, now: float = 1.0) -> Any:
    shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
    value = in_shown_order(RIGHT if right else RIGHT.model_copy(update={"preferred": 1}), tuple(shown))
    return say(connection, project, held, rater, value.model_dump(mode="json", exclude_defaults=True), now=now)


def parts(connection: Connection, held: list[int]) -> list[str]:
    rows = connection.execute(select(assignment.c.id, assignment.c.part).where(assignment.c.id.in_(held)))
    found = {row.id: row.part for row in rows}
    return [found[key] for key in held]


def trained(store: Store, make: Make, items: int = 3, **queue: Any) -> Project:
    project = make(5, plain(training=4, qualify=0.75, **queue))
    import_items(store, project, [new_item(100 + i, part="training", expected=RIGHT) for i in range(items)], Imported())
    return project


def test_real_items_come_with_the_score_and_not_before(store: Store, make: Make, people: list[int]) -> None:
    """Wrong, wrong, right, right is 2 of 4; another right one makes 3 of the last 4, which is enough."""
    project, rater, seen = trained(store, make), people[0], []
    with store.write() as connection:
        for turn, right in enumerate((False, False, True, True, True)):
            held = lease(connection, project, rater, float(turn), AHEAD)
            seen.append(parts(connection, held))
            answer(connection, project, held[0], rater, right, float(turn))
        assert [len(one) for one in seen] == [2, 2, 2, 1, 1] and {part for one in seen for part in one} == {"training"}
        assert parts(connection, lease(connection, project, rater, 9.0, AHEAD)) == ["main", "main"]
        found = qualification(connection, project, rater)
    assert (found.right, found.done, found.need, found.passed) == (3, 4, 3, True)


def test_nobody_below_the_score_gets_a_real_item_and_nobody_runs_out_of_training(
    store: Store, make: Make, people: list[int]
) -> None:
    project = trained(store, make)
    with store.write() as connection:
        for turn in range(30):
            held = lease(connection, project, people[0], float(turn), AHEAD)
            assert held and set(parts(connection, held)) == {"training"}
            answer(connection, project, held[0], people[0], turn % 2 == 0, float(turn))
        items = connection.execute(select(assignment.c.item_id).where(assignment.c.part == "training")).scalars().all()
        assert len(set(items)) == len(items)  # each round has rows of its own


def test_what_is_held_decides_before_more_is_given(store: Store, make: Make, people: list[int]) -> None:
    project = trained(store, make, items=9)
    with store.write() as connection:
        for turn in range(3):
            answer(connection, project, lease(connection, project, people[0], 0.0, AHEAD)[0], people[0], True, turn)
        last = lease(connection, project, people[0], 0.0, AHEAD)
        assert parts(connection, last) == ["training"]  # the fourth is on the screen, and no fifth behind it
        answer(connection, project, last[0], people[0], True, 3.0)
        assert parts(connection, lease(connection, project, people[0], 0.0, AHEAD)) == ["main", "main"]


def test_changing_an_answer_after_seeing_the_right_one_does_not_count(
    store: Store, make: Make, people: list[int]
) -> None:
    project = trained(store, make)
    with store.write() as connection:
        held = lease(connection, project, people[0], 0.0, 1)[0]
        assert not answer(connection, project, held, people[0], False).feedback["agrees"]
        assert answer(connection, project, held, people[0], True).feedback["agrees"]
        assert qualification(connection, project, people[0]).right == 0


def test_without_training_items_there_is_nothing_to_qualify_by(store: Store, make: Make, people: list[int]) -> None:
    project = make(2, plain(training=4, qualify=0.75))
    with store.write() as connection:
        assert parts(connection, lease(connection, project, people[0], 0.0, AHEAD)) == ["main", "main"]
    with pytest.raises(ValueError, match="set training"):
        QueuePolicy(qualify=0.5)


# ── skills ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def team(store: Store, make: Make) -> tuple[Project, dict[str, tuple[int, int]]]:
    """Ten items, five of them for Python; ann and bob rate. name -> (account, rater)"""
    project = make(5, plain(overlap=2, overlap_most=2))
    import_items(store, project, [new_item(50 + i, skill="python") for i in range(5)], Imported())
    with store.write() as connection:
        accounts = {n: create_account(connection, n, n, "rater", "a plain pass phrase", 0.0) for n in ("ann", "bob")}
        for account in accounts.values():
            add_members(connection, [project.id], account)
        return project, {n: (account, rater_for(connection, account)) for n, account in accounts.items()}


def work(connection: Connection, project: Project, rater: int) -> list[str]:
    """Answer all that comes; returns the skills of what came."""
    came = []
    while held := lease(connection, project, rater, 0.0, 1):
        query = select(item.c.skill).join(assignment).where(assignment.c.id == held[0])
        came.append(connection.execute(query).scalar_one())
        say(connection, project, held[0], rater)
    return came


def test_items_go_to_raters_with_the_skill_alone(store: Store, team: Any) -> None:
    project, who = team
    with store.write() as connection:
        assert lacking_skills(connection, project.id) == {"python": 5}
        assert give_skills(connection, who["bob"][0], ["Python", " french "]) == ["french", "python"]
        assert lacking_skills(connection, project.id) == {}
        assert work(connection, project, who["ann"][1]) == [""] * 5
        assert sorted(work(connection, project, who["bob"][1])) == [""] * 5 + ["python"] * 5


def test_no_round_of_probes_is_made_for_whoever_lacks_their_skill(store: Store, team: Any) -> None:
    project, who = team
    probing = replace(project, queue=plain(overlap=2, overlap_most=2, probe=0.5))
    import_items(store, project, [new_item(90, part="probe", expected=RIGHT, skill="python")], Imported())
    with store.write() as connection:
        assert work(connection, probing, who["ann"][1]) == [""] * 5
        assert len(connection.execute(select(item.c.id).where(item.c.part == "probe")).all()) == 1


def test_a_skill_given_later_brings_what_was_passed_over(store: Store, team: Any) -> None:
    project, who = team
    with store.write() as connection:
        assert work(connection, project, who["ann"][1]) == [""] * 5 and work(connection, project, who["ann"][1]) == []
        give_skills(connection, who["ann"][0], ["python"])
        assert work(connection, project, who["ann"][1]) == ["python"] * 5
        give_skills(connection, who["ann"][0], [])
        assert work(connection, project, who["ann"][1]) == []


def test_an_item_is_in_dispute_once_all_with_its_skill_have_had_it(store: Store, team: Any) -> None:
    """Ann carries it and Bob doesn't: with a machine against her, and two raters wanted, nobody else will be asked."""
    project, who = team
    with store.write() as connection:
        give_skills(connection, who["ann"][0], ["python"])
        connection.execute(update(item).values(target=3))
        for name in ("ann", "bob"):
            work(connection, project, who[name][1])
        python = connection.execute(select(item.c.id).where(item.c.skill == "python")).scalars().all()
        connection.execute(update(item).where(item.c.id.in_(python)).values(done=2))
        look_through(connection, project)
        states = dict(connection.execute(select(item.c.id, item.c.dispute)).all())  # type: ignore[arg-type]
    assert {states[key] for key in python} == {"none"}  # looked at: nobody is left to ask


def test_names_of_skills(store: Store, make: Make, tmp_path: Path) -> None:
    assert skill_named("  Plain   French ") == "plain french"
    for bad in ("", "c++", "100%", "a" * 41, "a_b", '"'):
        with pytest.raises(InputError, match="letters"):
            skill_named(bad)
    project = make(0)
    path = tmp_path / "rows.jsonl"
    row = '{"prompt": "p", "response_a": "x", "response_b": "%s", "skill": "%s"}\n'
    path.write_text(row % ("y", "Python") + row % ("z", "c++"))
    done = import_file(store, project.id, path)
    assert done.items == 1 and ":2: field 'skill'" in done.faults[0]
    with store.read() as connection:
        assert connection.execute(select(item.c.skill)).scalar_one() == "python"
