"""Agreement decides what people see of machines' labels: more where it is low, a random tenth always."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import select
from tests.feedback.conftest import new_item, plain, say

from heedful.feedback.intake import Imported, import_items
from heedful.feedback.order import LEFT, reorder
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, create_project, rater_named, read_project
from heedful.feedback.queue import hold, share_of, take_place
from heedful.feedback.routing import AUDIT, ENOUGH, FLOOR, GOOD, POOR, routes, share_for
from heedful.feedback.sheet import read_answered
from heedful.feedback.store import Store
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import assignment, item

EACH = 150


def test_the_share_falls_with_the_lower_bound_to_a_floor() -> None:
    assert share_for(1.0, ENOUGH - 1) == 1.0, "nothing shown yet"
    assert share_for(POOR, 500) == share_for(0.1, 500) == 1.0
    assert share_for(GOOD, 500) == share_for(1.0, 500) == FLOOR > 0
    assert share_for((POOR + GOOD) / 2, 500) == pytest.approx((1 + FLOOR) / 2)


def labelled(store: Store, audit: str | float = "by agreement") -> Project:
    """Sums and jokes, all labelled by a judge; a person has seen 40 of each and agrees on sums alone."""
    with store.write() as connection:
        made = create_project(connection, "p", PRESETS["pair"].sheet, plain(audit=audit))
        project = read_project(connection, made)
    new = [new_item(number) for number in range(2 * EACH)]
    kinds = [{"family": "sums" if number < EACH else "jokes"} for number in range(2 * EACH)]
    new = [replace(one, prompt=replace(one.prompt, meta=kind)) for one, kind in zip(new, kinds, strict=True)]
    import_items(store, project, new, Imported())
    with store.write() as connection:
        judge, person = rater_named(connection, "ai", "judge"), rater_named(connection, "human", "ann")
        keys = list(connection.execute(select(item.c.id).order_by(item.c.id)).scalars())
        for key in keys:
            said = read_answered({"verdict": "prefer", "preferred": 0, "strength": 1})
            add_machine_label(connection, project, key, judge, said, str(uuid.uuid4()), 1.0)
        for key in [*keys[:40], *keys[EACH : EACH + 40]]:
            slot = take_place(connection, key, 1)
            held = hold(connection, project, key, 2, person, "main", slot, 1.0, 1e9)
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
            right = 0 if key < keys[EACH] else key % 2
            say(
                connection, project, held, person, {"verdict": "prefer", "preferred": shown.index(right), "strength": 1}
            )
    return project


def test_agreement_by_kind_of_prompt_sets_the_share(store: Store) -> None:
    project = labelled(store)
    with store.read() as connection:
        jokes, sums = routes(connection, project)
    assert (jokes.stratum, jokes.items, jokes.share) == ("jokes", 40, 1.0) and jokes.agreement == 0.5
    assert (sums.stratum, sums.items, sums.agreement, sums.share) == ("sums", 40, 1.0, FLOOR)


def waiting(store: Store) -> dict[int, str]:
    with store.read() as connection:
        rows = connection.execute(select(item.c.id, item.c.chosen_by).where(item.c.open, item.c.taken == 0))
        return {row.id: row.chosen_by for row in rows}


def test_ordering_the_queue_leaves_the_rest_to_the_judge_and_marks_the_random_part(store: Store) -> None:
    project = labelled(store)
    before = waiting(store)
    assert len(before) == 2 * EACH - 80, "until the queue is ordered people see everything"
    with store.write() as connection:
        placed = reorder(connection, project, "random")
    after = waiting(store)
    sums = [key for key in before if key <= EACH]
    drawn = {key for key in before if share_of(project.seed, "audit", key) < FLOOR}
    assert {key for key in sums if key in after} == drawn & set(sums)
    assert placed[LEFT] == len(before) - len(after) == len(sums) - len(drawn & set(sums))
    assert {key for key, why in after.items() if why == AUDIT} == drawn
    with store.write() as connection:
        reorder(connection, project, "random")
    assert waiting(store) == after


def test_what_was_left_comes_back_where_agreement_falls(store: Store) -> None:
    project = labelled(store)
    with store.write() as connection:
        reorder(connection, project, "random")
        person = rater_named(connection, "human", "bob")
        answered = list(connection.execute(select(item.c.id).where(item.c.done == 1, item.c.id <= EACH)).scalars())
        for key in answered:  # a second person, late, says the opposite of sums
            held = hold(connection, project, key, 2, person, "main", None, 1.0, 1e9)
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
            say(connection, project, held, person, {"verdict": "prefer", "preferred": shown.index(1), "strength": 1})
        assert LEFT not in reorder(connection, project, "random")
    assert len(waiting(store)) >= 2 * EACH - 80


def test_a_share_set_by_hand_is_not_touched(store: Store) -> None:
    project = labelled(store, audit=1.0)
    with store.write() as connection:
        assert LEFT not in reorder(connection, project, "random")
    assert len(waiting(store)) == 2 * EACH - 80 and AUDIT not in waiting(store).values()
