"""What items wait for: raters who hold or may take a place, another rater, or nothing that will come."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.feedback.conftest import new_item, plain, say

from heedful.feedback.awaited import awaited, item_numbers
from heedful.feedback.projects import Project, change_project, rater_named
from heedful.feedback.queue import lease, put_aside
from heedful.feedback.sheet import Answered
from heedful.feedback.store import Store
from heedful.feedback.submit import add_machine_label


def test_items_are_found_by_what_they_compare(store: Store, make: Callable[..., Project]) -> None:
    project = make(3)
    with store.read() as connection:
        numbers = item_numbers(connection, project, [new_item(2), new_item(0)])
        assert len(set(numbers)) == 2
        assert awaited(connection, project, {numbers[0]}).waiting == {numbers[0]}, "others' items are not counted"


def test_a_place_that_is_held_is_waited_for(store: Store, make: Callable[..., Project]) -> None:
    project = make(1)
    with store.write() as connection:
        [number] = item_numbers(connection, project, [new_item(0)])
        rater = rater_named(connection, "human", "ann")
        [held] = lease(connection, project, rater, time.time(), 1)
        now = awaited(connection, project, {number})
        assert (now.waiting, now.left, now.had) == ({number}, frozenset(), False)
        say(connection, project, held, rater, {"verdict": "tie"}, now=time.time())
        assert not awaited(connection, project, {number}).waiting


def test_what_everybody_here_has_skipped_waits_for_another_rater(store: Store, make: Callable[..., Project]) -> None:
    project = make(2)
    with store.write() as connection:
        numbers = set(item_numbers(connection, project, [new_item(0), new_item(1)]))
        ann, bob = (rater_named(connection, "human", name) for name in ("ann", "bob"))
        assert not awaited(connection, project, numbers).had, "nobody has begun"
        for rater in (ann, bob):
            held = lease(connection, project, rater, time.time(), 2)
            assert not awaited(connection, project, numbers).had
            for one in held:
                put_aside(connection, one, rater, "skipped", "", time.time())
            now = awaited(connection, project, numbers)
            assert now.had and now.waiting == numbers
        lease(connection, project, rater_named(connection, "human", "cy"), time.time(), 1)
        assert not awaited(connection, project, numbers).had


def test_what_is_left_to_a_machine_or_closed_is_not_waited_for(store: Store, make: Callable[..., Project]) -> None:
    project = make(2, queue=plain(audit=0))
    with store.write() as connection:
        first, second = item_numbers(connection, project, [new_item(0), new_item(1)])
        judge = rater_named(connection, "ai", "judge")
        answered = Answered(verdict="prefer", preferred=0, strength=1)
        add_machine_label(connection, project, first, judge, answered, "0" * 36, time.time())
        now = awaited(connection, project, {first, second})
        assert (now.waiting, now.left, now.closed) == ({second}, {first}, False)
        change_project(connection, project.id, open=False)
        now = awaited(connection, project, {first, second})
        assert (now.waiting, now.left, now.closed) == (frozenset(), {first, second}, True)
