"""Webhooks of a project: which URLs are told what, and how that went."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from heedful.feedback import webhooks
from heedful.feedback.audit import note
from heedful.feedback.webhooks import EVENTS, Event
from heedful.studio.access import House, Owner, Who, project_for
from heedful.studio.routes.shapes import Body, Done
from heedful.studio.telling import address_of

router = APIRouter(tags=["webhooks"])


class NewHook(Body):
    """A URL, and the events that it is told."""

    url: str = Field(max_length=500)
    """Where letters go: `https`, to a public address."""
    events: list[Event] = list(EVENTS)
    """What is told; all, where it is left out."""


class HookMade(BaseModel):
    """The secret that its letters are signed with, told this once."""

    id: int
    """Its number."""
    secret: str
    """What letters are signed with."""


class HookRow(BaseModel):
    """A webhook, and how many of its letters arrived, wait, or were given up."""

    id: int
    """Its number."""
    url: str
    """Where letters go."""
    events: list[Event]
    """What is told."""
    done: int
    """Letters that arrived."""
    waiting: int
    """Letters to be tried again."""
    given_up: int
    """Letters that never arrived."""


def _hook(connection: Connection, who: Who, project_id: int, webhook_id: int) -> None:
    project_for(connection, who, project_id)
    webhooks.own_hook(connection, project_id, webhook_id)


@router.get("/projects/{project_id}/webhooks")
def hooks(project_id: int, studio: House, who: Owner) -> list[HookRow]:
    """Who is told what happens here."""
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        rows = webhooks.hooks_of(connection, project_id)
    return [HookRow.model_validate(row, from_attributes=True) for row in rows]


@router.post("/projects/{project_id}/webhooks")
def new_hook(project_id: int, body: NewHook, studio: House, who: Owner) -> HookMade:
    """Tell a URL what happens from now on; letters are signed with the secret in the answer."""
    address_of(body.url, studio.settings.webhook_hosts)
    now = studio.clock()
    with studio.store.write() as connection:
        project_for(connection, who, project_id)
        made, secret = webhooks.add_hook(connection, project_id, body.url, body.events, now)
        note(connection, now, who.account.id, "webhook made", f"project {project_id}", host=urlsplit(body.url).netloc)
    return HookMade(id=made, secret=secret)


@router.delete("/projects/{project_id}/webhooks/{webhook_id}")
def drop_hook(project_id: int, webhook_id: int, studio: House, who: Owner) -> Done:
    """Tell it nothing more."""
    with studio.store.write() as connection:
        _hook(connection, who, project_id, webhook_id)
        webhooks.drop_hook(connection, webhook_id)
        note(connection, studio.clock(), who.account.id, "webhook removed", f"project {project_id}", webhook=webhook_id)
    return Done()


@router.get("/projects/{project_id}/webhooks/{webhook_id}/deliveries")
def deliveries(project_id: int, webhook_id: int, studio: House, who: Owner) -> list[dict[str, Any]]:
    """The newest letters, and how the last try of each went."""
    with studio.store.read() as connection:
        _hook(connection, who, project_id, webhook_id)
        return [dict(row._mapping) for row in webhooks.deliveries_of(connection, webhook_id)]


@router.post("/projects/{project_id}/webhooks/{webhook_id}/retry")
def retry(project_id: int, webhook_id: int, studio: House, who: Owner) -> dict[str, int]:
    """Send at once what has not arrived."""
    with studio.store.write() as connection:
        _hook(connection, who, project_id, webhook_id)
        return {"due": webhooks.try_again(connection, webhook_id, studio.clock())}
