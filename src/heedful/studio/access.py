"""Who asks, and what they may do. Every route names its need; a test walks all routes and roles."""

from __future__ import annotations

import time
from asyncio import wrap_future
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection

from heedful.errors import HeedfulError
from heedful.feedback.accounts import Account, Role, Scope, account_of_session, account_of_token
from heedful.feedback.projects import Project, known_rater, projects_of, rater_for, read_project
from heedful.feedback.store import Store
from heedful.feedback.together import Together
from heedful.studio.settings import Settings

T = TypeVar("T")
COOKIE = "heedful_session"


class Need(StrEnum):
    """What a route asks of whoever calls it."""

    NOTHING = "nothing"
    ACCOUNT = "an account"
    LABEL = "the right to label"
    MACHINE = "the right to add labels of machines"
    EXPORT = "the right to export"
    REVIEW = "the right to review"
    MANAGE = "the right to manage"
    OWN = "the owner's rights"


EVERYONE: frozenset[Role] = frozenset(("owner", "manager", "reviewer", "rater", "service"))
MAY: dict[Need, frozenset[Role]] = {
    Need.ACCOUNT: EVERYONE,
    Need.LABEL: EVERYONE - {"service"},
    Need.MACHINE: frozenset(("owner", "manager", "service")),
    Need.EXPORT: frozenset(("owner", "manager", "reviewer", "service")),
    Need.REVIEW: frozenset(("owner", "manager", "reviewer")),
    Need.MANAGE: frozenset(("owner", "manager")),
    Need.OWN: frozenset(("owner",)),
}
SEES_ALL: frozenset[Role] = frozenset(("owner", "manager"))


class Refused(HeedfulError):
    """A request that is answered with this status and a sentence."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True, slots=True)
class Studio:
    """What routes work with."""

    settings: Settings
    store: Store
    together: Together
    clock: Callable[[], float] = time.time

    async def write(self, act: Callable[[Connection], T], *, soon: bool = False) -> T:
        """As `Store.write`, for the short writes of many raters: see `Together`."""
        return await wrap_future(self.together.write(act, soon=soon))


async def studio_of(request: Request) -> Studio:  # so that it needs no thread
    studio: Studio = request.app.state.studio
    return studio


House = Annotated[Studio, Depends(studio_of)]


@dataclass(frozen=True, slots=True)
class Who:
    """The caller. `scopes` is None for a session in a browser, which may do all that the role may."""

    account: Account
    scopes: frozenset[Scope] | None = None

    def may(self, need: Need) -> bool:
        return self.account.role in MAY[need]


def cookie_name(settings: Settings) -> str:
    """With the prefix, browsers refuse the cookie from any other host or without TLS."""
    return f"__Host-{COOKIE}" if settings.secure else COOKIE


def caller(request: Request, studio: Studio, connection: Connection) -> Who | None:
    """From a token if one was sent, else from the session cookie; Refused: a token that is worth nothing."""
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, secret = given.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Refused(401, "send the token as 'Authorization: Bearer heedful_…'")
        found = account_of_token(connection, secret.strip(), studio.clock())
        if isinstance(found, str):
            raise Refused(401, found)
        return Who(*found)
    secret = request.cookies.get(cookie_name(studio.settings), "")
    account = account_of_session(connection, secret, studio.clock()) if secret else None
    return Who(account) if account else None


def scope_of(need: Need, method: str) -> Scope:
    if method in ("GET", "HEAD"):
        return "read"
    return "label" if need in (Need.LABEL, Need.MACHINE) else "manage"


class Allow:
    """A dependency: the caller, if the role and the token's scopes allow what the route needs."""

    def __init__(self, need: Need) -> None:
        self.need = need

    async def __call__(self, request: Request) -> Who:
        studio = await studio_of(request)  # no dependency of its own: each takes part of every request
        if studio.store.sqlite:  # whose readers wait for nobody: it takes less time than to ask a thread for it
            return self._who(request, studio)
        return await run_in_threadpool(self._who, request, studio)

    def _who(self, request: Request, studio: Studio) -> Who:
        with studio.store.read() as connection:
            who = caller(request, studio, connection)
        if who is None:
            raise Refused(401, "sign in first, or send a token")
        if not who.may(self.need):
            raise Refused(403, f"this needs {self.need.value}, which the role '{who.account.role}' does not have")
        if who.scopes is not None and (scope := scope_of(self.need, request.method)) not in who.scopes:
            raise Refused(403, f"this token lacks the scope '{scope}'; make one that has it under 'Your account'")
        return who


Known = Annotated[Who, Depends(Allow(Need.ACCOUNT))]
Labeller = Annotated[Who, Depends(Allow(Need.LABEL))]
Machine = Annotated[Who, Depends(Allow(Need.MACHINE))]
Exporter = Annotated[Who, Depends(Allow(Need.EXPORT))]
Reviewer = Annotated[Who, Depends(Allow(Need.REVIEW))]
Manager = Annotated[Who, Depends(Allow(Need.MANAGE))]
Owner = Annotated[Who, Depends(Allow(Need.OWN))]


def project_for(connection: Connection, who: Who, project_id: int) -> Project:
    """Refused with 404: it is not there, or is not this caller's to see."""
    if who.account.role in SEES_ALL or project_id in projects_of(connection, who.account.id):
        try:
            return read_project(connection, project_id)
        except HeedfulError:
            pass
    raise Refused(404, f"there is no project {project_id} that you may see")


def rater_of(studio: Studio, who: Who) -> int:
    """The rater that the caller is; read where it is known, so that reading waits for no writer."""
    with studio.store.read() as connection:
        found = known_rater(connection, who.account.id)
    if found:
        return found
    with studio.store.write() as connection:
        return rater_for(connection, who.account.id)
