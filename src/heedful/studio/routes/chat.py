"""Live chat: every turn is answered twice, blind; what the rater prefers goes on. A turn is an item like any other.

So it is judged, changed, exported and trained on as all items are, with the conversation so far as its prompt.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection, func, select, update

from heedful.feedback.fitting import NewItem
from heedful.feedback.prepared import AnyRow, insert_one
from heedful.feedback.projects import Project
from heedful.feedback.sheet import Sheet, check_conversation, read_answered
from heedful.feedback.tables import UNSAID, assignment, completion, conversation, item, judgement, retake, turn
from heedful.feedback.talk import add_turn, answer_again
from heedful.records import Message, Prompt, prompt_id
from heedful.studio.access import House, Labeller, Manager, Refused, Studio, project_for, rater_of
from heedful.studio.render import tree
from heedful.studio.routes.shapes import Body, Done, Task
from heedful.studio.speak import ask, model_named
from heedful.studio.tasks import read_tasks

router = APIRouter(tags=["chat"])
TURNS, RETAKES = 40, 10
AT_ONCE = 8  # requests that wait for models at one time, so that labelling never waits for a thread
_waiting = threading.BoundedSemaphore(AT_ONCE)


class Begin(Body):
    """What the rater means to talk about, or to attempt."""

    goal: str = Field("", max_length=2000)
    """Kept with the conversation."""


class Say(Body):
    """What the rater says next."""

    client_uuid: UUID
    """Drawn once for a turn, and sent again with every retry of it."""
    text: str = Field(min_length=1, max_length=8000)
    """What is said."""


class Again(Body):
    """Two other answers are wanted."""

    client_uuid: UUID
    """Drawn once, and sent again with every retry."""


class End(Body):
    """How it went: for a red team, from 1 (the models held) to 5 (they misbehaved badly); by the sheet's scales too."""

    success: int = Field(0, ge=0, le=5)
    """How far a red team got; 0 in other chats."""
    ratings: dict[str, int] = {}
    """Of the whole, by the keys of the sheet's `conversation`."""
    comment: str = Field("", max_length=4000)
    """A remark."""


class Talk(BaseModel):
    """A conversation: what was said, each turn with its two answers."""

    id: int
    """The conversation's number."""
    project: int
    """The project's number."""
    sheet: Sheet
    """What is asked of each turn."""
    goal: str
    """What the rater meant to do."""
    open: bool
    """Whether it goes on."""
    turns: list[Task]
    """Each an item with its two answers."""
    said: list[str]
    """What the rater said, a text for each turn."""


class Ask(Body):
    """The playground: several models side by side, with their names."""

    models: list[str] = Field(min_length=1, max_length=4)
    """Names, of `GET /models`."""
    messages: list[Message] = Field(min_length=1, max_length=2 * TURNS)
    """The conversation so far."""
    temperature: float = Field(0.7, ge=0, le=5)
    """0 is greedy."""


class Spoken(BaseModel):
    """One model's answer."""

    model: str
    """Its name."""
    text: str
    """As it was written."""
    tree: list[Any]
    """As in Turn."""


@contextmanager
def _one_of_few() -> Iterator[None]:
    """Refused with 429: as many as may already wait for the models."""
    if not _waiting.acquire(blocking=False):
        raise Refused(429, "the models are busy with others; try again in a moment")
    try:
        yield
    finally:
        _waiting.release()


def _own(connection: Connection, conversation_id: int, rater_id: int) -> AnyRow:
    where = (conversation.c.id == conversation_id, conversation.c.rater_id == rater_id)
    row = connection.execute(select(conversation).where(*where).with_for_update()).first()
    if row is None:
        raise Refused(404, "there is no such conversation of yours")
    return row


@router.get("/models")
def models(studio: House, who: Manager) -> list[str]:
    """The models that the studio was started with."""
    return [model.name for model in studio.settings.models]


@router.post("/playground")
def playground(body: Ask, studio: House, who: Manager) -> list[Spoken]:
    """Answers of several models, not blind, and not kept."""
    chosen = [model_named(studio.settings, name) for name in body.models]
    messages = [{"role": m.role, "content": m.content} for m in body.messages]
    with _one_of_few():
        texts = [ask(model, messages, temperature=body.temperature) for model in chosen]
    return [Spoken(model=model.name, text=text, tree=tree(text)) for model, text in zip(chosen, texts, strict=True)]


@router.post("/projects/{project_id}/conversations")
def begin(project_id: int, body: Begin, studio: House, who: Labeller) -> Talk:
    """Begin a conversation with two of the models, which is not told."""
    rater_id = rater_of(studio, who)
    with studio.store.write() as connection:
        of = project_for(connection, who, project_id)
        if of.sheet.chat == "off" or not of.open:
            raise Refused(409, "this project is closed, or has no chat")
        if len(studio.settings.models) < 2:
            raise Refused(
                409, "the studio runs without models to talk to: whoever runs it starts it with --model twice"
            )
        pair = random.SystemRandom().sample([model.name for model in studio.settings.models], 2)
        made = insert_one(
            connection, conversation, project_id=project_id, rater_id=rater_id, models=pair, goal=body.goal, success=0,
            comment="", ratings={}, open=True, created_at=studio.clock(),
        )  # fmt: skip
        return _talk(connection, of, _own(connection, made, rater_id), studio.clock())


@router.get("/projects/{project_id}/conversations")
def conversations(project_id: int, studio: House, who: Labeller) -> list[dict[str, Any]]:
    """The caller's conversations, newest first."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        where = (conversation.c.project_id == project_id, conversation.c.rater_id == rater_id)
        columns = (conversation.c.id, conversation.c.goal, conversation.c.open, conversation.c.created_at)
        query = select(*columns).where(*where).order_by(conversation.c.id.desc()).limit(50)
        return [dict(row._mapping) for row in connection.execute(query)]


@router.get("/conversations/{conversation_id}")
def read(conversation_id: int, studio: House, who: Labeller) -> Talk:
    """One of the caller's conversations."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        row = _own(connection, conversation_id, rater_id)
        return _talk(connection, project_for(connection, who, row.project_id), row, studio.clock())


@router.post("/conversations/{conversation_id}/turns")
def say(conversation_id: int, body: Say, studio: House, who: Labeller) -> Talk:
    """Say something; both models answer. Sent twice with one client_uuid, it counts once."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        row = _own(connection, conversation_id, rater_id)
        of = project_for(connection, who, row.project_id)
        if _was_said(connection, row, body):
            return _talk(connection, of, row, studio.clock())
        earlier = _going_on(connection, row)
    messages = [*earlier, Message("user", body.text)]
    with _one_of_few():
        answers = _answers(studio, row.models, messages)
    with studio.store.write() as connection:  # the models took their time: another tab may have gone on meanwhile
        row = _own(connection, conversation_id, rater_id)
        if _was_said(connection, row, body):
            return _talk(connection, of, row, studio.clock())
        if _going_on(connection, row) != earlier:
            raise Refused(409, "this conversation went on in another tab; open it again to see it")
        new = _turn(row, messages, answers, body.client_uuid)
        add_turn(connection, of, conversation_id, rater_id, new, body.text, str(body.client_uuid), studio.clock())
        return _talk(connection, of, row, studio.clock())


def _turn(row: AnyRow, messages: Sequence[Message], answers: tuple[str, ...], salt: UUID) -> NewItem:
    found = Prompt(id=prompt_id(messages), messages=tuple(messages), meta={})
    return NewItem(prompt=found, answers=answers, sources=tuple(row.models), part="chat", salt=str(salt))


@router.post("/conversations/{conversation_id}/again")
def again(conversation_id: int, body: Again, studio: House, who: Labeller) -> Talk:
    """Both models answer the last turn anew, while it has no judgement. The first answers are kept with `none`."""
    rater_id, key = rater_of(studio, who), str(body.client_uuid)
    with studio.store.read() as connection:
        row = _own(connection, conversation_id, rater_id)
        of = project_for(connection, who, row.project_id)
        if _was_retaken(connection, row, key):
            return _talk(connection, of, row, studio.clock())
        last, earlier = _unjudged(connection, row)
    messages = [*earlier, Message("user", last.text)]
    with _one_of_few():
        answers = _answers(studio, row.models, messages, temperature=1.0)
    with studio.store.write() as connection:
        row = _own(connection, conversation_id, rater_id)
        if _was_retaken(connection, row, key):
            return _talk(connection, of, row, studio.clock())
        if _unjudged(connection, row)[0].assignment_id != last.assignment_id:
            raise Refused(409, "this conversation went on in another tab; open it again to see it")
        new = _turn(row, messages, answers, body.client_uuid)
        answer_again(connection, of, last, rater_id, new, key, studio.clock())
        return _talk(connection, of, row, studio.clock())


def _was_retaken(connection: Connection, row: AnyRow, key: str) -> bool:
    """Whether these answers are in the conversation. Refused: their id is another conversation's."""
    query = select(turn.c.conversation_id).join(retake, retake.c.turn_id == turn.c.id)
    return _is_of(row, connection.execute(query.where(retake.c.client_uuid == key)).scalar())


def _is_of(row: AnyRow, found: int | None) -> bool:
    if found not in (None, row.id):
        raise Refused(409, "this turn's id was used in another conversation; nothing was changed")
    return found is not None


def _unjudged(connection: Connection, row: AnyRow) -> tuple[AnyRow, list[Message]]:
    """The last turn and what was said before it. Refused: it is judged, was answered anew too often, or ended."""
    rows = _rows(connection, row.id)
    if not row.open or not rows or rows[-1].value is not None:
        raise Refused(409, "there are no answers that wait for your judgement")
    times = select(func.count()).select_from(retake).where(retake.c.turn_id == rows[-1].id)
    if connection.execute(times).scalar_one() >= RETAKES:
        raise Refused(
            409, f"these answers were written anew {RETAKES} times; say which is better, or that both are bad"
        )
    return rows[-1], _so_far(connection, rows[:-1])


def _was_said(connection: Connection, row: AnyRow, body: Say) -> bool:
    """Whether this very turn is in the conversation. Refused: its id is another conversation's."""
    query = select(turn.c.conversation_id).where(turn.c.client_uuid == str(body.client_uuid))
    return _is_of(row, connection.execute(query).scalar())


def _going_on(connection: Connection, row: AnyRow) -> list[Message]:
    """What was said so far. Refused: the conversation has ended, or its last answers are not judged."""
    messages = _so_far(connection, _rows(connection, row.id))
    if not row.open or len(messages) >= 2 * TURNS:
        raise Refused(409, "this conversation has ended; begin another")
    return messages


def _answers(
    studio: Studio, names: Sequence[str], messages: Sequence[Message], temperature: float = 0.7
) -> tuple[str, ...]:
    """Two different answers: a model that says the same as the other is asked once more."""
    rows = [{"role": m.role, "content": m.content} for m in messages]
    if not set(names) <= {model.name for model in studio.settings.models}:  # a rater is told no names
        raise Refused(409, "a model of this conversation is not served any more; begin another")
    first, second = (model_named(studio.settings, name) for name in names)
    texts = ask(first, rows, temperature=temperature), ask(second, rows, temperature=temperature)
    if texts[0] == texts[1]:
        texts = texts[0], ask(second, rows, temperature=1.0)
    if texts[0] == texts[1]:
        raise Refused(409, "both models say the very same; ask something else")
    return texts


@router.post("/conversations/{conversation_id}/end")
def end(conversation_id: int, body: End, studio: House, who: Labeller) -> Done:
    """End a conversation, with a rating where the project asks for one."""
    rater_id = rater_of(studio, who)
    with studio.store.write() as connection:
        row = _own(connection, conversation_id, rater_id)
        of = project_for(connection, who, row.project_id)
        if of.sheet.chat == "red_team" and not body.success:
            raise Refused(422, "say from 1 to 5 how far you got")
        check_conversation(body.ratings, of.sheet)
        values = {"open": False, "success": body.success, "comment": body.comment, "ratings": body.ratings}
        connection.execute(update(conversation).where(conversation.c.id == conversation_id).values(**values))
    return Done()


def _rows(connection: Connection, conversation_id: int) -> Sequence[AnyRow]:
    """The turns that the conversation goes on from: one that its rater skipped or reported was never said."""
    query = (
        select(turn.c.id, turn.c.text, turn.c.assignment_id, assignment.c.shown, item.c.completions, judgement.c.value)
        .join(assignment, assignment.c.id == turn.c.assignment_id)
        .join(item, item.c.id == assignment.c.item_id)
        .outerjoin(judgement, judgement.c.id == assignment.c.judgement_id)
        .where(turn.c.conversation_id == conversation_id, assignment.c.state.not_in(UNSAID))
        .order_by(turn.c.number)
    )
    return connection.execute(query).all()


def _so_far(connection: Connection, rows: Sequence[AnyRow]) -> list[Message]:
    """What both models are told of earlier turns: the answer that was preferred, of equal ones the one shown first."""
    messages: list[Message] = []
    for one in rows:
        if one.value is None:
            raise Refused(409, "say first which of the last two answers is better")
        answered = read_answered(one.value)
        place = answered.preferred if answered.verdict == "prefer" else one.shown[0]
        text = connection.execute(
            select(completion.c.text).where(completion.c.id == one.completions[place])
        ).scalar_one()
        messages += [Message("user", one.text), Message("assistant", text)]
    return messages


def _talk(connection: Connection, of: Project, row: AnyRow, now: float) -> Talk:
    rows = _rows(connection, row.id)
    tasks = read_tasks(connection, of, [one.assignment_id for one in rows], now)
    return Talk(
        id=row.id, project=of.id, sheet=of.sheet, goal=row.goal, open=row.open, turns=tasks,
        said=[one.text for one in rows],
    )  # fmt: skip
