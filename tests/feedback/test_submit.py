"""Every submission counts once, nothing is overwritten, and what is said is stored as it was said."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from tests.feedback.conftest import PREFER_FIRST, plain, say

from heedful.errors import InputError
from heedful.feedback.labels import rankings_of, read_labels
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, rater_named
from heedful.feedback.queue import lease
from heedful.feedback.sheet import Answered, in_shown_order, in_stored_order, read_answered
from heedful.feedback.store import Store
from heedful.feedback.submit import Reused, TooLate, add_machine_label, save_draft, settled
from heedful.feedback.tables import assignment, draft, item, judgement

Make = Callable[..., Project]


def held_by(store: Store, project: Project, rater: int) -> int:
    with store.write() as connection:
        return lease(connection, project, rater, 0.0, 1)[0]


def rows(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(judgement)).scalar_one())


def test_sent_twice_it_counts_once(store: Store, make: Make, people: list[int]) -> None:
    project = make()
    held, key = held_by(store, project, people[0]), str(uuid.uuid4())
    with store.write() as connection:
        first = say(connection, project, held, people[0], client_uuid=key)
    with store.write() as connection:
        second = say(connection, project, held, people[0], client_uuid=key)
    assert (first.judgement, first.revision) == (second.judgement, second.revision)
    assert second.repeated and not first.repeated and rows(store) == 1
    with store.write() as connection, pytest.raises(Reused):
        say(connection, project, held, people[0], {"verdict": "tie"}, client_uuid=key)


def test_a_change_is_a_new_revision_and_the_old_one_stays(store: Store, make: Make, people: list[int]) -> None:
    project = make()
    held = held_by(store, project, people[0])
    with store.write() as connection:
        say(connection, project, held, people[0])
        assert say(connection, project, held, people[0], {"verdict": "both_bad"}).revision == 2
        [label] = read_labels(connection, project)
        assert label.value["verdict"] == "both_bad" and label.revision == 2
        assert connection.execute(select(item.c.done).where(item.c.id == label.item)).scalar_one() == 1
        with pytest.raises(TooLate, match="24 hours"):
            say(connection, project, held, people[0], now=100.0 + 25 * 3600)
    assert rows(store) == 2


@pytest.mark.parametrize("act", ["UPDATE judgement SET seconds = 9", "DELETE FROM judgement"])
def test_the_database_itself_refuses_to_change_a_judgement(
    store: Store, make: Make, people: list[int], act: str
) -> None:
    project = make()
    held = held_by(store, project, people[0])
    with store.write() as connection:
        say(connection, project, held, people[0])
    with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
        connection.execute(text(act))
    assert rows(store) == 1


def test_what_was_preferred_on_the_screen_is_what_is_exported(store: Store, make: Make, people: list[int]) -> None:
    """The answer under the rater's eyes wins, whichever order was drawn; the opposite choice gives the opposite."""
    project = make(12, plain(overlap=2))
    for place, rater in ((0, people[0]), (1, people[1])):
        for _ in range(12):
            held = held_by(store, project, rater)
            with store.write() as connection:
                row = connection.execute(select(assignment).where(assignment.c.id == held)).one()
                say(connection, project, held, rater, PREFER_FIRST | {"preferred": place})
                label = list(read_labels(connection, project))[-1]
            seen = [label.completions[i] for i in row.shown]
            [ranking] = rankings_of(label)
            best = ranking.completions[ranking.ranks.index(0)]
            assert best == seen[place] and ranking.margins == (2.0,)
            assert label.completions.index(best) == label.value.get("preferred")


@settings(max_examples=60)
@given(data=st.data(), n=st.integers(2, 9))
def test_shown_and_stored_order_are_each_others_way_back(data: st.DataObject, n: int) -> None:
    shown = tuple(data.draw(st.permutations(range(n))))
    answered = Answered(
        preferred=data.draw(st.integers(-1, n - 1)),
        ranks=tuple(data.draw(st.lists(st.integers(0, 8) | st.none(), min_size=n, max_size=n))),
        ratings=tuple({"q": data.draw(st.integers(1, 7))} for _ in range(n)),
        flags=tuple((str(i),) for i in range(n)),
        edited_from=data.draw(st.integers(-1, n - 1)),
    )
    stored = in_stored_order(answered, shown)
    assert in_shown_order(stored, shown) == answered
    for place in range(n):  # what was said of the answer at a place of the screen is said of that answer
        assert stored.ranks[shown[place]] == answered.ranks[place]
        assert stored.ratings[shown[place]] == answered.ratings[place]


SHEETS: list[tuple[str, int, Any, str]] = [
    ("pair", 2, {"verdict": "prefer", "preferred": 0, "strength": 4}, "from 1 to 3"),
    ("pair", 2, {"verdict": "prefer", "strength": 1}, "which of the two"),
    ("pair", 2, {"verdict": "none"}, "choose one answer"),
    ("hh", 2, {"verdict": "tie"}, "choose one answer"),
    ("pair", 2, {"verdict": "tie", "ranks": [0, 0], "colour": 1}, "colour"),
    ("rank", 3, {"ranks": [0, 1]}, "3 answers and 2 ranks"),
    ("rank", 3, {"ranks": [0, None, None]}, "at least two"),
    ("rank", 3, {"ranks": [0, 2, 2]}, "none left out"),
    ("instructgpt", 3, {"ranks": [0, 1, 2]}, "rate each of the 3"),
    ("instructgpt", 2, {"ranks": [0, 1], "ratings": [{"overall": 8}, {"overall": 1}]}, "goes from 1 to 7"),
    ("instructgpt", 2, {"ranks": [0, 1], "ratings": [{"overall": 3}, {}]}, "answer 2: rate Overall"),
    ("instructgpt", 2, {"ranks": [0, 0], "ratings": [{"overall": 3}] * 2, "flags": [["blue"], []]}, "no flag"),
    ("helpsteer", 2, {"verdict": "tie"}, "write a reason"),
    ("edit", 2, {"verdict": "prefer", "preferred": 0, "strength": 1}, "as it should be"),
    ("steps", 1, {"steps": ["right", "right"]}, "has 1 steps"),
    ("steps", 1, {"steps": [None]}, "step 1 has no label"),
]


@pytest.mark.parametrize(("preset", "answers", "value", "said"), SHEETS, ids=lambda x: str(x)[:40])
def test_what_the_sheet_does_not_ask_is_refused_in_a_sentence(
    store: Store, make: Make, people: list[int], preset: str, answers: int, value: Any, said: str
) -> None:
    project = make(1, sheet=PRESETS[preset].sheet, answers=answers)
    held = held_by(store, project, people[0])
    with store.write() as connection, pytest.raises(InputError, match=said):
        say(connection, project, held, people[0], value)
    assert rows(store) == 0


def test_cant_judge_asks_nothing_more(store: Store, make: Make, people: list[int]) -> None:
    project = make(1, sheet=PRESETS["instructgpt"].sheet, answers=4)
    held = held_by(store, project, people[0])
    with store.write() as connection:
        say(connection, project, held, people[0], {"verdict": "cant_judge"})
        [label] = read_labels(connection, project)
        assert rankings_of(label) == []


def test_a_draft_is_kept_until_the_answer_is_in(store: Store, make: Make, people: list[int]) -> None:
    project = make(1)
    held = held_by(store, project, people[0])
    with store.write() as connection:
        for value in ({"reason": "first"}, {"reason": "second"}):
            save_draft(connection, held, people[0], value, 1.0)
        assert connection.execute(select(draft.c.value)).scalar_one() == {"reason": "second"}
        say(connection, project, held, people[0])
        assert connection.execute(select(draft)).first() is None


def test_a_machine_takes_no_place_and_its_dissent_asks_more(store: Store, make: Make, people: list[int]) -> None:
    project = make(1, plain(overlap_most=3))
    with store.write() as connection:
        judge = rater_named(connection, "ai", "judge-1")
        key = connection.execute(select(item.c.id)).scalar_one()
        answered = read_answered({"verdict": "prefer", "preferred": 1, "strength": 1})
        assert add_machine_label(connection, project, key, judge, answered, str(uuid.uuid4()), 1.0)
        assert not add_machine_label(connection, project, key, judge, answered, str(uuid.uuid4()), 2.0)
        assert connection.execute(select(item.c.taken, item.c.done, item.c.open)).one() == (0, 0, True)
    held = held_by(store, project, people[0])
    with store.write() as connection:
        shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
        say(connection, project, held, people[0], PREFER_FIRST | {"preferred": shown.index(0)})
        assert connection.execute(select(item.c.target, item.c.open)).one() == (3, True)


def test_a_machine_that_differs_later_asks_more_too(store: Store, make: Make, people: list[int]) -> None:
    project = make(2, plain(overlap_most=3))
    for _ in range(2):
        held = held_by(store, project, people[0])
        with store.write() as connection:
            shown = connection.execute(select(assignment.c.shown).where(assignment.c.id == held)).scalar_one()
            say(connection, project, held, people[0], PREFER_FIRST | {"preferred": shown.index(0)})
    with store.write() as connection:
        judge = rater_named(connection, "ai", "judge-1")
        for key, preferred in zip(connection.execute(select(item.c.id)).scalars().all(), (0, 1), strict=True):
            answered = read_answered({"verdict": "prefer", "preferred": preferred, "strength": 1})
            add_machine_label(connection, project, key, judge, answered, str(uuid.uuid4()), 1.0)
        query = select(item.c.target, item.c.open).order_by(item.c.id)
        assert connection.execute(query).all() == [(1, False), (3, True)]


def test_only_the_audited_share_of_machine_labels_goes_to_people(store: Store, make: Make) -> None:
    project = make(200, plain(audit=0.25))
    with store.write() as connection:
        judge = rater_named(connection, "ai", "judge-1")
        for key in list(connection.execute(select(item.c.id)).scalars()):
            answered = read_answered({"verdict": "tie"})
            add_machine_label(connection, project, key, judge, answered, str(uuid.uuid4()), 1.0)
        left = connection.execute(select(func.count()).where(item.c.open)).scalar_one()
    assert 30 <= left <= 70


def test_settled() -> None:
    assert settled(["a", "a", "a"], []) and not settled(["a", "a", "b"], [])
    assert settled(["a"], ["a"]) and not settled(["a"], ["b"]) and not settled([], [])
    assert settled(["a"] * 4 + ["b"], [])
