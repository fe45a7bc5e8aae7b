"""The same on PostgreSQL: tables, queue under many at once, append-only, copies. Starts a server where it can."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import tests.debian
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from tests.feedback.conftest import new_item, plain, say
from tests.postgres import MISSING, postgres_server

from heedful.errors import ResourceError
from heedful.feedback.accounts import create_account, give_skills
from heedful.feedback.audit import broken_at, note
from heedful.feedback.backup import copy_database, restore
from heedful.feedback.disputes import look_through
from heedful.feedback.drift import drifts
from heedful.feedback.erase import erase
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.labels import read_labels
from heedful.feedback.leaks import leaks
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import (
    Project,
    add_members,
    create_project,
    lacking_skills,
    progress,
    rater_for,
    rater_named,
    read_project,
)
from heedful.feedback.queue import lease
from heedful.feedback.sheet import Answered
from heedful.feedback.store import Store, open_store
from heedful.feedback.tables import assignment, item, metadata
from heedful.feedback.webhooks import EVENTS, add_hook, claim, collect, hooks_of, settle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def postgres(server: str) -> Iterator[Store]:
    store = open_store(server)
    yield store
    store.close()


def project(store: Store, items: int) -> Project:
    with store.write() as connection:
        made = create_project(connection, str(uuid.uuid4()), PRESETS["pair"].sheet, plain(overlap=3))
        found = read_project(connection, made)
    import_items(store, found, [new_item(i) for i in range(items)], Imported())
    return found


def test_what_keeps_it_from_being_installed_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.debian, "CANNOT", "")
    monkeypatch.setattr(tests.debian, "APT", ["sh", "-c", "echo no way to the mirror >&2; exit 100"])
    with pytest.raises(pytest.skip.Exception, match="can't be installed: no way to the mirror"):
        tests.debian.installed("postgresql", lambda: None)


def test_tables_are_the_codes_and_judgements_are_append_only(postgres: Store) -> None:
    with postgres.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    of = project(postgres, 1)
    with postgres.write() as connection:
        rater = rater_named(connection, "human", "first")
        say(connection, of, lease(connection, of, rater, 0.0, 1)[0], rater)
        assert len(list(read_labels(connection, of))) == 1
    for act in ("UPDATE judgement SET seconds = 9", "DELETE FROM judgement"):
        with pytest.raises(DBAPIError, match="append-only"), postgres.write() as connection:
            connection.execute(text(act))


def test_many_at_once_fill_every_place_once(postgres: Store) -> None:
    of = project(postgres, 30)
    with postgres.write() as connection:
        raters = [rater_named(connection, "human", f"many-{i}") for i in range(6)]

    def work(rater: int) -> int:
        done = idle = 0
        while idle < 3:  # an item that another rater is just taking is passed over, and looked for again
            with postgres.write() as connection:
                held = lease(connection, of, rater, 0.0, 1)
            if not held:
                idle += 1
                continue
            with postgres.write() as connection:
                say(connection, of, held[0], rater)
            done, idle = done + 1, 0
        return done

    with ThreadPoolExecutor(len(raters)) as pool:
        done = sum(pool.map(work, raters))
    with postgres.read() as connection:
        slots = connection.execute(
            select(assignment.c.item_id, assignment.c.slot).where(assignment.c.project_id == of.id)
        ).all()
        complete = progress(connection, of.id).complete
    assert max(Counter(slots).values()) == 1 and len(slots) == done <= 90
    assert complete == 30, (complete, done)


def test_the_log_is_one_chain(postgres: Store) -> None:
    def write(number: int) -> None:
        with postgres.write() as connection:
            note(connection, float(number), None, "did", f"thing {number}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(24)))
    with postgres.read() as connection:
        assert broken_at(connection) == 0


def test_a_copy_comes_back(postgres: Store, tmp_path: Path) -> None:
    before = project(postgres, 2)
    copy = tmp_path / "labels.dump"
    copy_database(postgres, copy)
    after = project(postgres, 2)
    restore(copy, postgres)
    with postgres.read() as connection:
        names = [row.name for row in connection.execute(text("SELECT name FROM project"))]
    assert before.name in names and after.name not in names


def test_a_server_that_is_away_is_told_in_a_sentence() -> None:
    with pytest.raises(ResourceError, match="does not answer"):
        open_store("postgresql://heedful@127.0.0.1:1/labels")


def test_the_owners_side(postgres: Store) -> None:
    """Skills, probes, leaks, webhooks and erasing, whose statements or seals differ from SQLite's."""
    of = project(postgres, 4)
    right = Answered(verdict="prefer", preferred=0, strength=2)
    leaking = replace(new_item(70, skill="python"), answers=("I am Claude.", "No name."))
    import_items(postgres, of, [new_item(50, part="probe", expected=right), leaking], Imported())
    with postgres.write() as connection:
        hook, _ = add_hook(connection, of.id, "https://example.org/x", EVENTS, 0.0)
        assert lacking_skills(connection, of.id) == {"python": 1} and leaks(connection, of.id).leaking == 1
        name = f"ann-{uuid.uuid4()}"
        account = create_account(connection, name, name, "rater", "a plain pass phrase", 0.0)
        add_members(connection, [of.id], account)
        give_skills(connection, account, ["python"])
        ann = rater_for(connection, account)
        probing = replace(of, queue=plain(overlap=1, probe=0.5))
        connection.execute(update(item).where(item.c.project_id == of.id, item.c.part == "main").values(target=1))
        parts = Counter[str]()
        while len(held := lease(connection, probing, ann, 0.0, 1)) and parts.total() < 20:
            parts[connection.execute(select(assignment.c.part).where(assignment.c.id == held[0])).scalar_one()] += 1
            say(connection, probing, held[0], ann, {"verdict": "tie", "reason": "ann was here"})
        assert parts["main"] == 5 and parts["probe"] >= 1 and lacking_skills(connection, of.id) == {}
        assert look_through(connection, of).waiting == 0 and len(drifts(connection, of, names=True)) == 1
    assert collect(postgres, 1.0) > 0
    with postgres.write() as connection:
        letters = claim(connection, 2.0)
        assert Counter(letter.event for letter in letters) == {"item_completed": 5, "project_completed": 1}
        settle(connection, letters[0], True, "answered 200", 3.0)
        [row] = hooks_of(connection, of.id)
        assert (row.id, row.done, row.waiting) == (hook, 1, 5) and claim(connection, 3.0) == []
        done = erase(connection, account, "blank")
        assert done.blanked == done.judgements == parts.total() and done.kept == 0
    with postgres.read() as connection:
        assert not any(label.value.get("reason") for label in read_labels(connection, of))
    with pytest.raises(DBAPIError, match="append-only"), postgres.write() as connection:
        connection.execute(text("UPDATE judgement SET digest = ''"))
