"""Raters who do anything in any order: whatever they do, nothing is lost, counted twice, or given to one too many."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, select
from tests.feedback.conftest import new_item, plain

from heedful.errors import InputError
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.labels import read_labels
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, create_project, rater_named, read_project
from heedful.feedback.queue import heartbeat, lease, put_aside
from heedful.feedback.sheet import in_shown_order, read_answered
from heedful.feedback.store import Store, open_store
from heedful.feedback.submit import Reused, TooLate, save_draft, submit
from heedful.feedback.tables import assignment, item, judgement

RATERS, ITEMS = 4, 3
REVISE = 24 * 3600.0
QUEUE = plain(overlap=2, overlap_most=4)
VALUES: list[dict[str, Any]] = [
    {"verdict": "prefer", "preferred": 0, "strength": 2},
    {"verdict": "prefer", "preferred": 1, "strength": 1},
    {"verdict": "tie"},
    {"verdict": "both_bad", "reason": "neither says it"},
    {"verdict": "cant_judge"},
]
raters, values, picks = st.integers(1, RATERS), st.sampled_from(VALUES), st.integers(0, 999)


@lru_cache(maxsize=1)
def filled() -> bytes:
    """A database with the project and its raters, made once and written anew for every example."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"{folder}/studio.db")
        with store.write() as connection:
            of = read_project(connection, create_project(connection, "p", PRESETS["pair"].sheet, QUEUE))
            assert [rater_named(connection, "human", f"r{i}") for i in range(RATERS)] == list(range(1, RATERS + 1))
        import_items(store, of, [new_item(i) for i in range(ITEMS)], Imported())
        store.close()
        return store.file.read_bytes()


@dataclass
class Told:
    """What one assignment was told, in its order: (uuid, value, judgement, when)."""

    rater: int
    said: list[tuple[str, dict[str, Any], int, float]] = field(default_factory=list)


class AnyOrder(RuleBasedStateMachine):
    """The model is what raters were told: everything acknowledged, and nothing else, must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="heedful-any-")
        path = Path(self.folder, "studio.db")
        path.write_bytes(filled())
        self.store = Store(str(path))
        self.now = 0.0
        self.held: dict[int, Told] = {}
        with self.store.read() as connection:
            self.of: Project = read_project(connection, 1)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def some(self, pick: int) -> tuple[int, Told]:
        return list(self.held.items())[pick % len(self.held)]

    def say(self, connection: Connection, key: int, value: dict[str, Any], number: str) -> Any:
        return submit(
            connection, self.of, key, self.held[key].rater, client_uuid=number, value=value, seconds=1.0, now=self.now
        )

    @rule(who=raters)
    def take(self, who: int) -> None:
        with self.store.write() as connection:
            given = lease(connection, self.of, who, self.now)
        with self.store.write() as connection:
            assert lease(connection, self.of, who, self.now) == given, "asking again gives the same items"
        for key in given:
            assert self.held.setdefault(key, Told(who)).rater == who

    @precondition(lambda self: self.held)
    @rule(pick=picks, value=values)
    def answer(self, pick: int, value: dict[str, Any]) -> None:
        """Whatever the state of the item: held, lapsed, put aside, answered before."""
        key, told = self.some(pick)
        number = str(uuid.uuid4())
        over = bool(told.said) and self.now > told.said[0][3] + REVISE
        with self.store.write() as connection:
            if over:
                with pytest.raises(TooLate):
                    self.say(connection, key, value, number)
                return
            done = self.say(connection, key, value, number)
        assert (done.repeated, done.revision) == (False, len(told.said) + 1)
        told.said.append((number, value, done.judgement, self.now))

    @precondition(lambda self: any(told.said for told in self.held.values()))
    @rule(pick=picks, other=values)
    def send_again(self, pick: int, other: dict[str, Any]) -> None:
        """A retry, however late: the same is answered alike, another answer under its number is refused."""
        sent = [(key, *said) for key, told in self.held.items() for said in told.said]
        key, number, value, made, _ = sent[pick % len(sent)]
        with self.store.write() as connection:
            done = self.say(connection, key, value, number)
            assert (done.repeated, done.judgement) == (True, made)
            if other != value:
                with pytest.raises(Reused):
                    self.say(connection, key, other, number)

    @precondition(lambda self: self.held)
    @rule(pick=picks, value=values)
    def lose_power(self, pick: int, value: dict[str, Any]) -> None:
        """The write is done and its transaction is not: nobody was told anything, and nothing is there."""
        key, told = self.some(pick)
        if told.said and self.now > told.said[0][3] + REVISE:
            return
        with pytest.raises(ZeroDivisionError), self.store.write() as connection:
            self.say(connection, key, value, str(uuid.uuid4()))
            raise ZeroDivisionError

    @precondition(lambda self: self.held)
    @rule(pick=picks, kind=st.sampled_from(["skipped", "reported"]))
    def leave_to_others(self, pick: int, kind: str) -> None:
        key, told = self.some(pick)
        with self.store.write() as connection:
            try:
                put_aside(connection, key, told.rater, kind, "why", self.now)
            except InputError:
                assert told.said, "only what has an answer can't be put aside"

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def draft_and_heartbeat(self, pick: int) -> None:
        key, told = self.some(pick)
        with self.store.write() as connection:
            save_draft(connection, key, told.rater, {"reason": "half a thou"}, self.now)
            heartbeat(connection, key, told.rater, self.now + 1800)

    @precondition(lambda self: self.held)
    @rule(pick=picks, who=raters)
    def answer_for_another(self, pick: int, who: int) -> None:
        key, told = self.some(pick)
        if who != told.rater:
            with self.store.write() as connection, pytest.raises(InputError, match="no such item among yours"):
                submit(
                    connection, self.of, key, who, client_uuid=str(uuid.uuid4()), value=VALUES[0], seconds=0.0,
                    now=self.now,
                )  # fmt: skip

    @rule(minutes=st.sampled_from([1, 20, 31, 600, 1500]))
    def wait(self, minutes: int) -> None:
        self.now += 60.0 * minutes

    @invariant()
    def what_was_acknowledged_is_there_once(self) -> None:
        told = sorted((made, number, key) for key, one in self.held.items() for number, _, made, _ in one.said)
        columns = (judgement.c.id, judgement.c.client_uuid, judgement.c.assignment_id)
        with self.store.read() as connection:
            assert [tuple(row) for row in connection.execute(select(*columns).order_by(judgement.c.id))] == told

    @invariant()
    def what_stands_is_what_was_said_last(self) -> None:
        with self.store.read() as connection:
            found = {label.judgement: label for label in read_labels(connection, self.of)}
        last = {told.said[-1][2]: told.said[-1][1] for told in self.held.values() if told.said}
        assert found.keys() == last.keys()
        for made, label in found.items():
            seen = in_shown_order(read_answered(label.value), label.shown)
            assert seen.model_dump(exclude_defaults=True) == last[made]

    @invariant()
    def no_place_is_filled_twice(self) -> None:
        with self.store.read() as connection:
            items = connection.execute(select(item.c.id, item.c.taken, item.c.target, item.c.done)).all()
            rows = connection.execute(
                select(assignment.c.item_id, assignment.c.rater_id, assignment.c.slot, assignment.c.state)
            ).all()
        assert len({(row.item_id, row.rater_id) for row in rows}) == len(rows)
        for one in items:
            mine = [row for row in rows if row.item_id == one.id]
            slots = [row.slot for row in mine if row.slot is not None]
            assert len(set(slots)) == len(slots) == one.taken <= one.target <= QUEUE.overlap_most
            assert one.done == sum(row.state == "done" for row in mine)


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
