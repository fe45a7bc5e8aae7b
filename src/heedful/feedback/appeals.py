"""A rater says that something is wrong with an item after answering it: with a check, above all.

While an appeal waits, the check doesn't count; whoever reviews the project settles it. Items that are no checks are
appealed against in the same way, so that nothing tells a hidden check from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import ColumnElement, Connection, select, update

from heedful.errors import InputError
from heedful.feedback.prepared import AnyRow, insert_one
from heedful.feedback.queue import own, rounds_of
from heedful.feedback.sheet import read_answered
from heedful.feedback.submit import agreement_with
from heedful.feedback.tables import account, appeal, assignment, item, judgement, rater

Outcome = Literal["stands", "wrong"]
UNCOUNTED = -1  # what `agrees` is while nothing counts for or against the rater
CHECKS = ("gold", "training", "probe")


def make_appeal(connection: Connection, assignment_id: int, rater_id: int, text: str, now: float) -> None:
    """Keep an appeal; the first one stands. InputError: it is not this rater's item, or has no answer yet."""
    held = own(connection, assignment_id, rater_id)
    if held.state != "done":
        raise InputError("answer the item first, or report it")
    if connection.execute(select(appeal.c.id).where(appeal.c.assignment_id == assignment_id)).first():
        return
    insert_one(
        connection, appeal, assignment_id=assignment_id, text=text, at=now, outcome="", answer="", account_id=None
    )
    _count(connection, assignment.c.id == assignment_id, UNCOUNTED)


def _count(connection: Connection, which: ColumnElement[bool], agrees: int) -> None:
    connection.execute(update(assignment).where(which).values(agrees=agrees))


def open_appeals(connection: Connection, project_id: int, limit: int = 50) -> Sequence[AnyRow]:
    """Those that wait, oldest first, with the item, the order in which its rater saw the answers, what was said (in
    stored order), and the pseudonym."""
    columns = (
        appeal.c.id,
        appeal.c.text,
        appeal.c.at,
        assignment.c.part,
        assignment.c.shown,
        rater.c.name.label("rater"),
    )
    said = (item.c.prompt_id, item.c.completions, item.c.expected, judgement.c.value)
    query = (
        select(*columns, *said)
        .join(assignment, assignment.c.id == appeal.c.assignment_id)
        .join(item, item.c.id == assignment.c.item_id)
        .join(judgement, judgement.c.id == assignment.c.judgement_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.project_id == project_id, appeal.c.outcome == "")
    )
    return connection.execute(query.order_by(appeal.c.id).limit(limit)).all()


def appeals_of(connection: Connection, project_id: int, rater_id: int, limit: int = 20) -> Sequence[AnyRow]:
    """A rater's own, newest first: id, text, outcome, answer."""
    query = (
        select(appeal.c.id, appeal.c.text, appeal.c.outcome, appeal.c.answer)
        .join(assignment, assignment.c.id == appeal.c.assignment_id)
        .where(assignment.c.project_id == project_id, assignment.c.rater_id == rater_id)
    )
    return connection.execute(query.order_by(appeal.c.id.desc()).limit(limit)).all()


def settle(
    connection: Connection, project_id: int, appeal_id: int, account_id: int, outcome: Outcome, answer: str
) -> None:
    """The check stands and counts again; or it is wrong, is given to nobody any more, and counts for nobody, whichever
    of its rounds was appealed against.

    InputError: the project has no such appeal, it is settled otherwise already, or it is the account's own: only an
    owner, who may be the only one to settle anything, may do that.
    """
    query = (
        select(
            appeal.c.outcome,
            assignment.c.id.label("held"),
            assignment.c.part,
            item.c.expected,
            item.c.prompt_id,
            item.c.completions,
            rater.c.account_id.label("whose"),
        )
        .join(assignment, assignment.c.id == appeal.c.assignment_id)
        .join(item, item.c.id == assignment.c.item_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(appeal.c.id == appeal_id, assignment.c.project_id == project_id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise InputError(f"this project has no appeal {appeal_id}")
    if row.outcome not in ("", outcome):
        raise InputError("this appeal is settled already")
    role = connection.execute(select(account.c.role).where(account.c.id == account_id)).scalar()
    if row.whose == account_id and role != "owner":
        raise InputError("this appeal is your own: someone else who reviews the project settles it, or an owner")
    settled = {"outcome": outcome, "answer": answer, "account_id": account_id}
    if outcome == "stands":
        connection.execute(update(appeal).where(appeal.c.id == appeal_id).values(**settled))
        _count(connection, assignment.c.id == row.held, _agreement(connection, row))
        return
    same = assignment.c.id == row.held
    if row.part in CHECKS:
        same = assignment.c.item_id.in_(withdraw(connection, project_id, row.part, row.prompt_id, row.completions))
    waits = (appeal.c.assignment_id.in_(select(assignment.c.id).where(same)), appeal.c.outcome.in_(("", outcome)))
    connection.execute(update(appeal).where(*waits).values(**settled))


def withdraw(
    connection: Connection, project_id: int, part: str, prompt_id: int, completions: Sequence[int]
) -> list[int]:
    """Give a check to nobody any more, and let it count for nobody; returns its items, of all rounds."""
    rounds = rounds_of(connection, project_id, part, prompt_id, completions)
    connection.execute(update(item).where(item.c.id.in_(rounds)).values(open=False, expected={}))
    _count(connection, assignment.c.item_id.in_(rounds), UNCOUNTED)
    return rounds


def _agreement(connection: Connection, row: AnyRow) -> int:
    """Of the assignment's newest judgement with the item's answer; in training of the first one."""
    first = row.part == "training"
    query = select(judgement.c.value).where(judgement.c.assignment_id == row.held)
    value = connection.execute(query.order_by(judgement.c.revision * (1 if first else -1)).limit(1)).scalar_one()
    return agreement_with(row.expected, read_answered(value))
