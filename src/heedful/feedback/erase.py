"""Forgetting who somebody was: what goes, what is blanked where that is wished, and what stays.

Judgements stay under a pseudonym in any case. What the person wrote in their own words may tell who they were: reasons,
notes on skipped and reported items, appeals and answers to those of others, what they said in chats and of them. It is
kept or blanked, as whoever erases says. An answer that they wrote or edited is work that models are trained on: it
stays, and the report counts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, String, cast, delete, exists, func, literal, select, text, update

from heedful.feedback.accounts import ERASED, erase_identity
from heedful.feedback.projects import known_rater
from heedful.feedback.tables import (
    APPEND_ONLY,
    account,
    appeal,
    assignment,
    conversation,
    draft,
    judgement,
    notice,
    rater,
    turn,
)

Words = Literal["keep", "blank"]
BLANK = "[erased]"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasing did. Numbers are of texts; `judgements` stay, and so do `edited` answers and what is `kept`.

    chats: turns that the person said; they are prompts of items that may be judged and trained on, and stay.
    """

    judgements: int
    blanked: int
    kept: int
    edited: int
    chats: int
    drafts: int


def erase(connection: Connection, account_id: int, words: Words) -> Erased:
    """Forget name, login, password, tokens, sessions, memberships and skills; with `blank` the person's words too.

    InputError: there is no such account, or it is the last owner's.
    """
    rater_id = known_rater(connection, account_id)
    erase_identity(connection, account_id)
    mine = select(assignment.c.id).where(assignment.c.rater_id == rater_id)
    drafts = connection.execute(delete(draft).where(draft.c.assignment_id.in_(mine))).rowcount
    rows = connection.execute(
        select(judgement.c.id, judgement.c.value).where(judgement.c.assignment_id.in_(mine))
    ).all()
    reasons = [row for row in rows if row.value.get("reason")]
    notes = (notice.c.assignment_id.in_(mine), notice.c.text.not_in(("", BLANK)))
    said = (conversation.c.rater_id == rater_id, (conversation.c.goal != "") | (conversation.c.comment != ""))
    appealed = (appeal.c.assignment_id.in_(mine), appeal.c.text != BLANK)
    answered = (appeal.c.account_id == account_id, appeal.c.answer.not_in(("", BLANK)))
    count = func.count()
    noted = connection.execute(select(count).select_from(notice).where(*notes)).scalar_one()
    talked = connection.execute(select(count).select_from(conversation).where(*said)).scalar_one()
    appeals = connection.execute(select(count).select_from(appeal).where(*appealed)).scalar_one()
    appeals += connection.execute(select(count).select_from(appeal).where(*answered)).scalar_one()
    turns = select(count).select_from(turn).where(turn.c.assignment_id.in_(mine))
    found = len(reasons) + noted + talked + appeals
    if words == "blank":
        with _open_for_change(connection):
            for row in reasons:
                new = {"value": {key: one for key, one in row.value.items() if key != "reason"}, "digest": ""}
                connection.execute(update(judgement).where(judgement.c.id == row.id).values(**new))
            connection.execute(update(notice).where(*notes).values(text=BLANK))
        connection.execute(update(conversation).where(*said).values(goal="", comment=""))
        connection.execute(update(appeal).where(*appealed).values(text=BLANK))
        connection.execute(update(appeal).where(*answered).values(answer=BLANK))
    return Erased(
        judgements=len(rows),
        blanked=found if words == "blank" else 0,
        kept=0 if words == "blank" else found,
        edited=sum(bool(row.value.get("edited")) for row in rows),
        chats=connection.execute(turns).scalar_one(),
        drafts=drafts,
    )


def erased_raters(connection: Connection, project_id: int) -> list[str]:
    """Pseudonyms of a project's raters whose accounts were erased: what an export's manifest tells of them."""
    query = (
        select(rater.c.name)
        .join(account, account.c.id == rater.c.account_id)
        .where(account.c.login == literal(ERASED).concat(cast(account.c.id, String)), ~account.c.active)
        .where(exists().where(assignment.c.rater_id == rater.c.id, assignment.c.project_id == project_id))
    )
    return list(connection.execute(query.order_by(rater.c.name)).scalars())


@contextmanager
def _open_for_change(connection: Connection) -> Iterator[None]:
    """Tables that are only added to may be changed inside; for the right to be forgotten alone, in one transaction."""
    kept = _seals(connection)
    for take_off, _ in kept:
        connection.execute(text(take_off))
    yield  # a fault inside takes the whole transaction back, seals and all
    for _, put_back in kept:
        connection.execute(text(put_back))


def _seals(connection: Connection) -> Sequence[tuple[str, str]]:
    """Of each seal of the judgements and notices: how it is taken off, and put back as it was."""
    tables = [table for table in APPEND_ONLY if table != "event"]
    if connection.dialect.name == "postgresql":
        alter = [f"ALTER TABLE {table} {{}} TRIGGER {table}_kept" for table in tables]
        return [(one.format("DISABLE"), one.format("ENABLE")) for one in alter]
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
    rows = [connection.execute(query, {"name": f"{table}_no_update"}).one() for table in tables]
    return [(f"DROP TRIGGER {row.name}", row.sql) for row in rows]
