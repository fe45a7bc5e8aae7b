"""Second looks: which items come, that decisions stand for labels and are no votes, and that labels stay."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.feedback.conftest import plain, say

from heedful.errors import InputError
from heedful.feedback.accounts import create_account
from heedful.feedback.awaited import awaited
from heedful.feedback.disputes import Disputes, decide, look_through, next_dispute, order_for, said_of
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import consensus_judgements
from heedful.feedback.figures import figures
from heedful.feedback.judgements import DECISION
from heedful.feedback.labels import read_labels, rows_of, standing_labels
from heedful.feedback.projects import Project, add_members, judged_by, progress, rater_for, rater_named
from heedful.feedback.queue import expire, lease, mine, order_of, waiting
from heedful.feedback.sheet import Answered, in_shown_order
from heedful.feedback.store import Store
from heedful.feedback.submit import add_machine_label
from heedful.feedback.votes import collect_votes

Make = Callable[..., Project]


def stored(preferred: int, **more: Any) -> Answered:
    return Answered(verdict="prefer", preferred=preferred, strength=1, **more)


def vote(store: Store, of: Project, rater: int, choices: dict[int, int]) -> None:
    """The rater answers every item that comes: item -> stored place of the better answer."""
    with store.write() as connection:
        while held := lease(connection, of, rater, 0.0, 1):
            one = next(iter(connection.exec_driver_sql(f"SELECT item_id, shown FROM assignment WHERE id = {held[0]}")))
            shown = tuple(int(place) for place in str(one.shown).strip("[]").split(","))
            value = in_shown_order(stored(choices.get(one.item_id, 0)), shown).model_dump(exclude_defaults=True)
            say(connection, of, held[0], rater, value)


@pytest.fixture
def split(store: Store, make: Make, people: list[int]) -> Project:
    """Three items with two labels each; raters disagree about the second."""
    of = make(3, plain(overlap=2))
    vote(store, of, people[0], {})
    vote(store, of, people[1], {2: 1})
    return of


def decided(store: Store, of: Project, item: int, rater: int, preferred: int, **more: Any) -> None:
    with store.write() as connection:
        shown = order_of(of.seed, item, 2, rater)
        answered = in_shown_order(stored(preferred, reason="it is true"), shown).model_dump(exclude_defaults=True)
        given = {"client_uuid": str(uuid.uuid4()), "now": 200.0} | more
        decide(connection, of, item, rater, value=answered, **given)


def test_only_what_stays_open_comes(store: Store, split: Project, people: list[int]) -> None:
    with store.write() as connection:
        assert look_through(connection, split) == Disputes(waiting=1, decided=0, unseen=0)
        row = next_dispute(connection, split, people[5])
        assert row is not None and row.id == 2
        shown = order_for(split, row, people[5])
        said = said_of(connection, row, shown)
        assert next_dispute(connection, split, people[5], after=2).id == 2  # type: ignore[union-attr]
        assert next_dispute(connection, split, people[0]) is None  # whoever judged it leaves it to others
    assert sorted(one.answered.preferred for one in said) == [0, 1] and {one.kind for one in said} == {"human"}


def test_an_item_still_being_judged_does_not_come(store: Store, make: Make, people: list[int]) -> None:
    of = make(1, plain(overlap=2, overlap_most=4))
    vote(store, of, people[0], {})
    vote(store, of, people[1], {1: 1})  # they differ: two more are asked first
    with store.write() as connection:
        assert look_through(connection, of) == Disputes(0, 0, 0)
    vote(store, of, people[2], {})
    vote(store, of, people[3], {1: 1})
    with store.write() as connection:
        assert look_through(connection, of) == Disputes(1, 0, 0)


def test_what_a_team_can_not_settle_comes_though_more_raters_were_wanted(
    store: Store, make: Make, people: list[int]
) -> None:
    of = make(3, plain(overlap=3, overlap_most=5))
    with store.write() as connection:
        accounts = [create_account(connection, f"rater-{i}", "", "rater", "a plain pass phrase", 0.0) for i in range(3)]
        for account in accounts:
            add_members(connection, [of.id], account)
        team = [rater_for(connection, account) for account in accounts]
        own = rater_for(connection, create_account(connection, "owner", "", "owner", "a plain pass phrase", 0.0))
    vote(store, of, team[0], {})
    vote(store, of, team[1], {2: 1})
    with store.write() as connection:
        assert look_through(connection, of) == Disputes(0, 0, 0)  # the third may settle it
    vote(store, of, team[2], {})
    with store.write() as connection:
        lease(connection, of, own, 0.0, 1)  # who owns the studio looks, and answers nothing
        assert look_through(connection, of) == Disputes(1, 0, 0)
        row = next_dispute(connection, of, people[0])
        assert row is not None and (row.id, row.done, row.target) == (2, 3, 5)
        assert awaited(connection, of, [1, 2, 3]).waiting == {2}
        assert progress(connection, of.id).disputed == 1 and waiting(connection, of.id) == 0  # no rater here can help
    decided(store, of, 2, people[0], 0)
    with store.write() as connection:
        assert awaited(connection, of, [1, 2, 3]).waiting == frozenset()
        assert (progress(connection, of.id).complete, progress(connection, of.id).disputed) == (3, 0)
        expire(connection, 1e9)
        assert not connection.exec_driver_sql("SELECT open FROM item WHERE id = 2").scalar()  # for nobody else
        held = next(iter(connection.exec_driver_sql(f"SELECT id FROM assignment WHERE rater_id = {own}")))[0]
        say(connection, of, held, own)  # kept, and no item is opened by it
        assert look_through(connection, of) == Disputes(0, 1, 0)
        assert lease(connection, of, people[1], 0.0, 1) == []


def test_a_machine_that_differs_from_one_person_brings_it(store: Store, make: Make, people: list[int]) -> None:
    of = make(1)
    vote(store, of, people[0], {})
    with store.write() as connection:
        assert look_through(connection, of).waiting == 0
        judge = rater_named(connection, "ai", "judge")
        add_machine_label(connection, of, 1, judge, stored(1), str(uuid.uuid4()), 1.0)
        assert look_through(connection, of).waiting == 1


def test_a_decision_stands_and_the_labels_stay(store: Store, split: Project, people: list[int]) -> None:
    with store.write() as connection:
        look_through(connection, split)
    decided(store, split, 2, people[5], preferred=1)
    with store.read() as connection:
        labels = list(read_labels(connection, split))
        raw = list(rows_of(connection, split, ExportFormat.RAW))
        standing = list(standing_labels(connection, split))
        rows = [row for row in rows_of(connection, split, ExportFormat.RANKINGS) if isinstance(row, dict)]
        counted = figures(connection, split.id, names=False)
        assert mine(connection, split.id, people[5]) == []
        assert [judged_by(connection, split.id, people[5], since=since) for since in (0.0, 200.0, 201.0)] == [0, 0, 0]
    assert len(labels) == 6 and len(raw) == 7  # both labels of each item, and the decision beside them
    assert [label.part for label in standing if label.item == 2] == [DECISION]
    assert sorted(label.item for label in standing) == [1, 1, 2, 3, 3] and len(rows) == 5
    assert sum(one.done for one in counted.raters) == 6  # a decision is no label of a rater
    every = [*labels, *(label for label in standing if label.part == DECISION)]
    assert len(collect_votes(every).item) == 6  # and no vote
    item = next(label for label in labels if label.item == 2)
    for rule in ("majority", "soft", "crowd"):
        [agreed] = [one for one in consensus_judgements(every, rule) if one.prompt == item.prompt]  # type: ignore[arg-type]
        better = agreed.completions[agreed.value["preferred"]]
        assert better == item.completions[1] and agreed.rater == "decision", rule


def test_a_newer_decision_and_the_same_one_sent_twice(store: Store, split: Project, people: list[int]) -> None:
    with store.write() as connection:
        look_through(connection, split)
    key = str(uuid.uuid4())
    decided(store, split, 2, people[5], preferred=1, client_uuid=key)
    decided(store, split, 2, people[5], preferred=1, client_uuid=key)
    decided(store, split, 2, people[5], preferred=0)
    with store.write() as connection:
        assert look_through(connection, split) == Disputes(0, 1, 0)
        [label] = list(read_labels(connection, split, parts=(DECISION,)))
    assert label.revision == 2 and label.value["preferred"] == 0 and label.value["reason"] == "it is true"


def test_what_may_not_be_decided(store: Store, split: Project, people: list[int]) -> None:
    with store.write() as connection:
        look_through(connection, split)
    with pytest.raises(InputError, match="another reviewer"):
        decided(store, split, 2, people[0], preferred=1)
    with pytest.raises(InputError, match="nobody disagrees"):
        decided(store, split, 1, people[5], preferred=1)
    with pytest.raises(InputError, match="no item 99"):
        decided(store, split, 99, people[5], preferred=1)
    with pytest.raises(InputError, match="write a reason"), store.write() as connection:
        value = {"verdict": "prefer", "preferred": 0, "strength": 1}
        decide(connection, split, 2, people[5], client_uuid=str(uuid.uuid4()), value=value, now=1.0)


def test_a_label_after_the_decision_changes_nothing(store: Store, split: Project, people: list[int]) -> None:
    with store.write() as connection:
        look_through(connection, split)
    decided(store, split, 2, people[5], preferred=1)
    with store.write() as connection:
        judge = rater_named(connection, "ai", "judge")
        add_machine_label(connection, split, 2, judge, stored(0), str(uuid.uuid4()), 1.0)
        assert look_through(connection, split) == Disputes(0, 1, 0)
        assert lease(connection, split, people[4], 0.0, 1) == []
