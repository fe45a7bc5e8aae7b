"""Erasing an account: what goes, what is blanked where that is wished, what stays; and everybody else's stays whole."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import DBAPIError
from tests.feedback.conftest import new_item, plain, say

from heedful.errors import InputError
from heedful.feedback.accounts import account_of_token, all_accounts, create_account, create_token, give_skills
from heedful.feedback.appeals import make_appeal, open_appeals, settle
from heedful.feedback.erase import BLANK, erase
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, add_members, create_project, rater_for, read_project
from heedful.feedback.queue import lease, put_aside
from heedful.feedback.store import Store
from heedful.feedback.submit import save_draft
from heedful.feedback.tables import account, appeal, judgement, notice

SAID = "because I, Ann, live next door"


def worked(store: Store) -> tuple[Project, dict[str, int]]:
    """Ann and Bob each give a reason, appeal, skip one item with a note and hold one with a draft."""
    with store.write() as connection:
        sheet = PRESETS["edit"].sheet
        project = read_project(connection, create_project(connection, "p", sheet, plain(overlap=2)))
        accounts = {n: create_account(connection, n, n, "rater", "a plain pass phrase", 0.0) for n in ("ann", "bob")}
        add_members(connection, [project.id], accounts["ann"])
        give_skills(connection, accounts["ann"], ["french"])
    import_items(store, project, [new_item(i) for i in range(4)], Imported())
    with store.write() as connection:
        for name, account in accounts.items():
            rater = rater_for(connection, account)
            value = {"verdict": "prefer", "preferred": 0, "strength": 1, "reason": f"{SAID} ({name})"}
            first, second = lease(connection, project, rater, 0.0)
            say(connection, project, first, rater, value | {"edited": "better", "edited_from": 0})
            make_appeal(connection, first, rater, f"I met {name} in Paris", 3.0)
            put_aside(connection, second, rater, "skipped", f"{name} knows the author", 1.0)
            save_draft(connection, lease(connection, project, rater, 2.0)[0], rater, {"reason": "mine"}, 2.0)
    return project, accounts


def words(connection: Connection) -> list[str]:
    reasons = [value.get("reason", "") for value in connection.execute(select(judgement.c.value)).scalars()]
    return sorted(reasons) + sorted(connection.execute(select(notice.c.text)).scalars())


@pytest.mark.parametrize("choice", ["keep", "blank"])
def test_what_goes_and_what_stays(store: Store, choice: Any) -> None:
    _, accounts = worked(store)
    with store.write() as connection:
        token = create_token(connection, accounts["ann"], "ann's laptop", ["read"], 1, 0.0)
        done = erase(connection, accounts["ann"], choice)
    blank = choice == "blank"
    assert (done.judgements, done.edited, done.drafts, done.chats) == (1, 1, 1, 0)
    assert (done.blanked, done.kept) == ((3, 0) if blank else (0, 3))
    with store.read() as connection:
        bobs = [f"{SAID} (bob)", "bob knows the author"]
        anns = ["", BLANK] if blank else [f"{SAID} (ann)", "ann knows the author"]
        assert sorted(words(connection)) == sorted(bobs + anns)
        [ann] = [row for row in all_accounts(connection) if row.id == accounts["ann"]]
        assert (ann.name, ann.login, ann.active, ann.skills) == ("erased", f"erased-{ann.id}", False, [])
        assert isinstance(account_of_token(connection, token, 1.0), str)
        whole = "\n".join(map(str, connection.connection.iterdump()))  # type: ignore[attr-defined]
    assert "ann's laptop" not in whole and ("next door (ann)" in whole) is not blank
    assert ("met ann" in whole) is not blank and "met bob" in whole
    for table in ("judgement", "notice"):
        with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
            connection.execute(text(f"UPDATE {table} SET assignment_id = assignment_id"))


def test_what_an_owner_answered_goes_with_the_owner(store: Store) -> None:
    project, accounts = worked(store)
    with store.write() as connection:
        connection.execute(update(account).values(role="owner"))
        for waiting in open_appeals(connection, project.id):
            settle(connection, project.id, waiting.id, accounts["bob"], "stands", "I, Bob, wrote this check")
        assert erase(connection, accounts["bob"], "blank").blanked == 5  # reason, note, appeal and two answers
        assert set(connection.execute(select(appeal.c.answer)).scalars()) == {BLANK}


def test_a_fault_on_the_way_leaves_everything_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, accounts = worked(store)
    with store.read() as connection:
        before = words(connection)
    real = sqlalchemy.update

    def breaks(table: Any) -> Any:
        if table is notice:  # the judgements' seals are off by now, and their reasons gone
            raise RuntimeError("the power is out")
        return real(table)

    monkeypatch.setattr("heedful.feedback.erase.update", breaks)
    with pytest.raises(RuntimeError), store.write() as connection:
        erase(connection, accounts["ann"], "blank")
    with store.read() as connection:
        assert words(connection) == before
    with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
        connection.execute(text("UPDATE judgement SET digest = ''"))


def test_nobody_is_erased_twice_or_unknown(store: Store) -> None:
    with pytest.raises(InputError, match="no account 99"), store.write() as connection:
        erase(connection, 99, "keep")
