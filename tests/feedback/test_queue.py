"""The queue hands every place out once, loses none, and keeps what comes late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update
from tests.feedback.conftest import new_item, plain, say

from heedful.errors import InputError
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.projects import (
    Project,
    QueuePolicy,
    _drawn_seed,
    again_at,
    change_project,
    progress,
    read_project,
)
from heedful.feedback.queue import AHEAD, heartbeat, lease, mine, order_of, put_aside, share_of, waiting
from heedful.feedback.sheet import Answered
from heedful.feedback.store import Store
from heedful.feedback.tables import assignment, item, seat

Make = Callable[..., Project]
MINUTE = 60.0


def take(store: Store, project: Project, rater: int, now: float = 0.0, ahead: int = 1) -> list[int]:
    with store.write() as connection:
        return lease(connection, project, rater, now, ahead)


def items_of(store: Store, keys: list[int]) -> list[int]:
    with store.read() as connection:
        rows = connection.execute(select(assignment.c.id, assignment.c.item_id).where(assignment.c.id.in_(keys)))
        found = {row.id: row.item_id for row in rows}
    return [found[key] for key in keys]


def test_a_rater_holds_the_same_items_until_they_are_answered(store: Store, make: Make, people: list[int]) -> None:
    project = make(5)
    first = take(store, project, people[0], ahead=AHEAD)
    assert len(first) == AHEAD and take(store, project, people[0], ahead=AHEAD) == first
    with store.write() as connection:
        say(connection, project, first[0], people[0])
    second = take(store, project, people[0], ahead=AHEAD)
    assert first[0] not in second and first[1] == second[0] and len(second) == AHEAD


def test_no_place_is_handed_out_twice_by_many_at_once(store: Store, make: Make, people: list[int]) -> None:
    project = make(40, plain(overlap=3))

    def work(rater: int) -> int:
        done = 0
        while held := take(store, project, rater):
            with store.write() as connection:
                say(connection, project, held[0], rater)
            done += 1
        return done

    with ThreadPoolExecutor(len(people)) as pool:
        assert sum(pool.map(work, people)) == 40 * 3
    with store.read() as connection:
        rows = connection.execute(select(assignment.c.item_id, assignment.c.slot, assignment.c.rater_id)).all()
        assert progress(connection, project.id).complete == 40
    assert set(Counter(row.item_id for row in rows).values()) == {3}
    assert len({(row.item_id, row.slot) for row in rows}) == 120


def test_a_lease_that_ran_out_goes_to_somebody_else_and_the_late_answer_is_kept(
    store: Store, make: Make, people: list[int]
) -> None:
    project = make(1)
    [held] = take(store, project, people[0], now=0.0)
    assert take(store, project, people[1], now=MINUTE) == []
    later = 31 * MINUTE
    [other] = take(store, project, people[1], now=later)
    assert items_of(store, [other]) == items_of(store, [held])
    with store.write() as connection:
        say(connection, project, other, people[1], now=later)
        saved = say(connection, project, held, people[0], now=later)
    assert saved.late and not saved.repeated
    with store.read() as connection:
        rows = connection.execute(select(assignment.c.slot, assignment.c.late).order_by(assignment.c.id)).all()
        assert [(row.slot, row.late) for row in rows] == [(None, True), (0, False)]
        assert connection.execute(select(item.c.done, item.c.taken)).one() == (2, 1)  # surplus, and counted as such


def test_whoever_let_a_lease_run_out_gets_the_item_back(store: Store, make: Make, people: list[int]) -> None:
    project = make(1)
    [held] = take(store, project, people[0], now=0.0)
    assert take(store, project, people[0], now=31 * MINUTE) == [held]
    with store.write() as connection:
        assert not say(connection, project, held, people[0], now=32 * MINUTE).late


def test_a_heartbeat_holds_and_says_when_it_is_too_late(store: Store, make: Make, people: list[int]) -> None:
    project = make(1)
    [held] = take(store, project, people[0], now=0.0)
    with store.write() as connection:
        assert heartbeat(connection, held, people[0], 100 * MINUTE)
    assert take(store, project, people[1], now=99 * MINUTE) == []
    assert take(store, project, people[1], now=101 * MINUTE)
    with store.write() as connection:
        assert not heartbeat(connection, held, people[0], 200 * MINUTE)


@pytest.mark.parametrize("kind", ["skipped", "reported"])
def test_an_item_put_aside_comes_to_others_and_not_back(store: Store, make: Make, people: list[int], kind: str) -> None:
    project = make(2)
    [held] = take(store, project, people[0])
    with store.write() as connection:
        put_aside(connection, held, people[0], kind, "odd", 1.0)
    mine_now = take(store, project, people[0])
    assert items_of(store, mine_now) != items_of(store, [held])
    others = take(store, project, people[1], ahead=2)
    assert items_of(store, [held])[0] in items_of(store, others)
    with store.write() as connection, pytest.raises(InputError, match="answer already"):
        say(connection, project, mine_now[0], people[0])
        put_aside(connection, mine_now[0], people[0], kind, "", 1.0)


def test_disagreement_asks_two_more_and_agreement_does_not(store: Store, make: Make, people: list[int]) -> None:
    queue = plain(overlap=3, overlap_most=5)
    project = make(2, queue)
    said = {0: (0, 0, 0), 1: (0, 0, 1)}
    done: dict[int, int] = {}
    for round_ in range(3):
        for _ in range(2):
            [held] = take(store, project, people[round_])
            [which] = items_of(store, [held])
            number = done.setdefault(which, len(done))
            with store.write() as connection:
                shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
                place = shown.index(said[number][round_])
                say(connection, project, held, people[round_], {"verdict": "prefer", "preferred": place, "strength": 1})
    with store.read() as connection:
        targets = {row.id: (row.target, row.open) for row in connection.execute(select(item))}
    agreed, split = sorted(done, key=lambda key: done[key])
    assert targets == {agreed: (3, False), split: (5, True)}
    assert items_of(store, take(store, project, people[4])) == [split]


def test_gold_comes_by_its_share_and_each_check_once(store: Store, make: Make, people: list[int]) -> None:
    queue = plain(gold=0.25)
    project = make(200, queue)
    known = Answered(verdict="prefer", preferred=0, strength=1)

    import_items(store, project, [new_item(1000 + i, part="gold", expected=known) for i in range(60)], Imported())
    for _ in range(120):
        [held] = take(store, project, people[0])
        with store.write() as connection:
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
            say(connection, project, held, people[0], {"verdict": "prefer", "preferred": shown.index(0), "strength": 3})
    with store.read() as connection:
        rows = connection.execute(select(assignment.c.part, assignment.c.agrees, assignment.c.item_id)).all()
    gold = [row for row in rows if row.part == "gold"]
    assert 15 <= len(gold) <= 45 and len({row.item_id for row in gold}) == len(gold)
    assert all(row.agrees == 1 for row in gold) and all(row.agrees == -1 for row in rows if row.part == "main")


def test_training_comes_first_with_what_is_expected(store: Store, make: Make, people: list[int]) -> None:
    project = make(3, plain(training=2))

    known = Answered(verdict="prefer", preferred=1, strength=1)
    more = {"part": "training", "expected": known, "explanation": "because"}
    import_items(store, project, [new_item(50 + i, **more) for i in range(4)], Imported())
    told = []
    for _ in range(3):
        [held] = take(store, project, people[0])
        with store.write() as connection:
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
            told.append((say(connection, project, held, people[0]).feedback, shown.index(1)))
    assert all(feedback["explanation"] == "because" for feedback, _ in told[:2]) and told[2][0] == {}
    for feedback, place in told[:2]:
        assert feedback["expected"]["preferred"] == place and feedback["agrees"] == (place == 0)


def test_orders_are_balanced_over_raters_and_stored(store: Store, make: Make, people: list[int]) -> None:
    project = make(30, plain(overlap=2))
    shown: dict[int, list[list[int]]] = {}
    for rater in people[:2]:
        while held := take(store, project, rater):
            with store.write() as connection:
                row = connection.execute(select(assignment).where(assignment.c.id == held[0])).one()
                shown.setdefault(row.item_id, []).append(row.shown)
                say(connection, project, held[0], rater)
    assert all(sorted(orders) == [[0, 1], [1, 0]] for orders in shown.values())
    first = [orders[0][0] for orders in shown.values()]
    assert 5 <= sum(first) <= 25
    assert sorted(order_of(3, 7, 5, 0)) == list(range(5)) and order_of(3, 7, 5, 5) == order_of(3, 7, 5, 0)


def test_the_walk_goes_on_where_it_was_and_finds_what_was_added(store: Store, make: Make, people: list[int]) -> None:
    project = make(3)
    for _ in range(3):
        [held] = take(store, project, people[0])
        with store.write() as connection:
            say(connection, project, held, people[0])
    assert take(store, project, people[0]) == []
    with store.read() as connection:
        at = connection.execute(select(seat.c.place)).scalar_one()

    import_items(store, project, [new_item(9, priority=5)], Imported())  # before everything that was walked past
    assert take(store, project, people[0])
    with store.read() as connection:
        assert connection.execute(select(seat.c.place)).scalar_one() < at


def test_a_closed_project_hands_nothing_out_but_takes_answers(store: Store, make: Make, people: list[int]) -> None:
    project = make(3)
    [held] = take(store, project, people[0])
    with store.write() as connection:
        change_project(connection, project.id, open=False)
        project = read_project(connection, project.id)
        say(connection, project, held, people[0])
    assert take(store, project, people[0]) == []
    with store.read() as connection:
        assert waiting(connection, project.id) == 2
        assert [row.id for row in mine(connection, project.id, people[0])] == [held]


def test_a_foreign_assignment_can_not_be_answered(store: Store, make: Make, people: list[int]) -> None:
    project = make(1)
    [held] = take(store, project, people[0])
    with store.write() as connection, pytest.raises(InputError, match="among yours"):
        say(connection, project, held, people[1])


def test_shares_are_even() -> None:
    drawn = [share_of(1, "x", i) for i in range(2000)]
    assert min(drawn) >= 0 and max(drawn) < 1 and abs(sum(drawn) / 2000 - 0.5) < 0.03


def test_policy_refuses_what_can_not_be() -> None:
    with pytest.raises(ValueError, match="overlap_most"):
        QueuePolicy(overlap=5, overlap_most=3)


def test_an_unexpired_lease_is_not_swept(store: Store, make: Make, people: list[int]) -> None:
    project = make(1)
    [held] = take(store, project, people[0], now=0.0)
    with store.write() as connection:
        connection.execute(update(assignment).values(expires_at=1e12))
    assert take(store, project, people[1], now=1e9) == []
    assert take(store, project, people[0], now=1e9) == [held]


def test_a_limit_within_the_hour_is_kept_to_the_item(store: Store, make: Make, people: list[int]) -> None:
    project, rater = make(9, plain(overlap=2, hourly=3)), people[0]
    for number, now in enumerate((10.0, 20.0, 30.0)):
        held = take(store, project, rater, now, AHEAD)
        assert len(held) == min(AHEAD, 3 - number)  # no item is held that could not be answered
        with store.write() as connection:
            assert again_at(connection, project, rater, now) == 0.0
            say(connection, project, held[0], rater, now=now)
    assert take(store, project, rater, 40.0, AHEAD) == []
    with store.read() as connection:
        assert again_at(connection, project, rater, 40.0) == 10.0 + 3600.0
    assert len(take(store, project, people[1], 40.0, AHEAD)) == AHEAD
    assert len(take(store, project, rater, 3611.0, AHEAD)) == 1


def test_nobody_can_guess_what_a_project_draws() -> None:
    assert len({_drawn_seed() for _ in range(3)}) > 1  # as imported, before tests fix it
