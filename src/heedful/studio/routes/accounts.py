"""The team: who is in it, invitations, password resets, members of projects, and the log of what was done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from heedful.feedback import accounts
from heedful.feedback import erase as erasing
from heedful.feedback.accounts import LINK_DAYS, Role
from heedful.feedback.audit import broken_at, changes, events, note
from heedful.feedback.projects import add_members, members, remove_member
from heedful.studio.access import House, Manager, Owner, Refused, Who, project_for
from heedful.studio.routes.shapes import Body, Done

router = APIRouter(tags=["team"])
ABOVE: frozenset[Role] = frozenset(("owner", "manager"))  # roles that only an owner gives or touches


class AccountRow(BaseModel):
    """An account as the team's page shows it."""

    id: int
    """The account's number."""
    login: str
    """The name to sign in by."""
    name: str
    """The name that others read."""
    role: Role
    """What it may do."""
    active: bool
    """Whether it may come in."""
    created_at: float
    """Seconds since 1970."""
    skills: list[str]
    """Items with one of these skills go to it."""


class Skills(Body):
    """What an account is good at: items with a skill go only to raters that carry it."""

    skills: list[str] = Field(max_length=40)
    """All that the account has from now on."""


class Invitation(Body):
    """Whom a link lets in, and to which projects."""

    role: Role = "rater"
    """Of the account that the link makes."""
    projects: list[int] = []
    """Numbers of the projects that it is let into."""


class LinkMade(BaseModel):
    """The link, told this once; nothing is sent by mail."""

    link: str
    """The address to send; it works once."""
    days: int = LINK_DAYS
    """How long it is valid."""


class AccountChange(Body):
    """What is given is changed."""

    role: Role | None = None
    """Another role."""
    active: bool | None = None
    """False shuts the account out, true lets it in again."""


class Erasure(Body):
    """What becomes of reasons, notes and goals that the person wrote."""

    words: erasing.Words = "keep"
    """`keep` them, or `blank` them everywhere."""


class NewService(Body):
    """An account for a program: it has no password, and comes in by a token."""

    login: str = Field(max_length=80)
    """The program's name."""
    projects: list[int] = []
    """Numbers of the projects that it may read and label."""
    days: float = 90
    """How long its token is valid."""


class Renewal(Body):
    """How long a program's new token lasts."""

    days: float = 90
    """How long the token is valid."""


class ServiceMade(BaseModel):
    """The account and its token, told this once."""

    id: int
    """The account's number."""
    token: str
    """`heedful_…`, with the scopes `read` and `label`."""


class MemberRow(BaseModel):
    """A member of a project."""

    id: int
    """The account's number."""
    login: str
    """The name to sign in by."""
    name: str
    """The name that others read."""
    role: Role
    """What it may do."""


class Log(BaseModel):
    """The newest events; `broken_at` is 0 while the chain of hashes is whole."""

    events: list[dict[str, Any]]
    """Of each: when, who, what was done to what, and details."""
    broken_at: int
    """The number of the first event whose seal does not fit."""


def _may_touch(who: Who, role: Role) -> None:
    if role in ABOVE and who.account.role != "owner":
        raise Refused(403, f"only an owner can do this to a{'n' if role == 'owner' else ''} {role}")


@router.get("/accounts")
def team(studio: House, who: Manager) -> list[AccountRow]:
    """Everyone who may come in, or could."""
    with studio.store.read() as connection:
        rows = accounts.all_accounts(connection)
    return [AccountRow.model_validate(row, from_attributes=True) for row in rows]


@router.post("/invitations")
def invite(body: Invitation, studio: House, who: Manager) -> LinkMade:
    """A one-time link that makes an account of this role."""
    _may_touch(who, body.role)
    now = studio.clock()
    with studio.store.write() as connection:
        for project_id in body.projects:
            project_for(connection, who, project_id)
        secret = accounts.create_link(connection, "invite", now, role=body.role, projects=body.projects)
        note(connection, now, who.account.id, "invited", body.role)
    return LinkMade(link=f"{studio.settings.url}/join/{secret}")


@router.post("/accounts/{account_id}/reset")
def reset(account_id: int, studio: House, who: Manager) -> LinkMade:
    """A one-time link by which someone sets a new password."""
    now = studio.clock()
    with studio.store.write() as connection:
        row = accounts.read_row(connection, account_id)
        _may_touch(who, row.role)
        secret = accounts.create_link(connection, "reset", now, role=row.role, account_id=account_id)
        note(connection, now, who.account.id, "reset link made", f"account {account_id}")
    return LinkMade(link=f"{studio.settings.url}/join/{secret}")


@router.post("/services")
def new_service(body: NewService, studio: House, who: Owner) -> ServiceMade:
    """An account for a judge or another program, with a token that may read and label."""
    now = studio.clock()
    with studio.store.write() as connection:
        made = accounts.create_account(connection, body.login, body.login, "service", "", now)
        for project_id in body.projects:
            project_for(connection, who, project_id)
        add_members(connection, body.projects, made)
        secret = accounts.create_token(connection, made, "first token", ["read", "label"], body.days, now)
        note(connection, now, who.account.id, "service made", f"account {made}")
    return ServiceMade(id=made, token=secret)


@router.post("/services/{account_id}/token")
def renew_token(account_id: int, body: Renewal, studio: House, who: Owner) -> ServiceMade:
    """A new token for a program; those that it had are worthless at once."""
    now = studio.clock()
    with studio.store.write() as connection:
        if accounts.read_account(connection, account_id).role != "service":
            raise Refused(422, "this account is no program's: whoever has it signs in and makes tokens")
        accounts.revoke_tokens(connection, account_id)
        secret = accounts.create_token(connection, account_id, "renewed", ["read", "label"], body.days, now)
        note(connection, now, who.account.id, "service's token renewed", f"account {account_id}")
    return ServiceMade(id=account_id, token=secret)


@router.patch("/accounts/{account_id}")
def change(account_id: int, body: AccountChange, studio: House, who: Owner) -> Done:
    """Give another role, or shut out; the last owner stays."""
    with studio.store.write() as connection:
        was = accounts.read_row(connection, account_id)
        accounts.change_account(connection, account_id, body.role, body.active)
        given = {key: value for key, value in body.model_dump().items() if value is not None}
        if said := changes({"role": was.role, "active": was.active}, given):
            note(connection, studio.clock(), who.account.id, "account changed", f"account {account_id}", **said)
    return Done()


@router.put("/accounts/{account_id}/skills")
def skills(account_id: int, body: Skills, studio: House, who: Manager) -> list[str]:
    """Say what someone is good at; answers the skills as they are kept."""
    with studio.store.write() as connection:
        was = accounts.read_row(connection, account_id)
        _may_touch(who, was.role)
        kept = accounts.give_skills(connection, account_id, body.skills)
        if said := changes({"skills": ", ".join(was.skills)}, {"skills": ", ".join(kept)}):
            note(connection, studio.clock(), who.account.id, "skills given", f"account {account_id}", **said)
    return kept


@router.post("/accounts/{account_id}/erase")
def erase(account_id: int, body: Erasure, studio: House, who: Owner) -> dict[str, int]:
    """Forget who this was; the judgements stay under a pseudonym. Answers what was erased and what remains."""
    with studio.store.write() as connection:
        done = asdict(erasing.erase(connection, account_id, body.words))
        note(connection, studio.clock(), who.account.id, "account erased", f"account {account_id}", **done)
    return done


@router.get("/projects/{project_id}/members")
def project_members(project_id: int, studio: House, who: Manager) -> list[MemberRow]:
    """Who may label or review in a project."""
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        rows = members(connection, project_id)
    return [MemberRow.model_validate(row, from_attributes=True) for row in rows]


@router.put("/projects/{project_id}/members/{account_id}")
def add_member(project_id: int, account_id: int, studio: House, who: Manager) -> Done:
    """Let someone into a project."""
    with studio.store.write() as connection:
        project_for(connection, who, project_id)
        accounts.read_account(connection, account_id)
        add_members(connection, [project_id], account_id)
        note(connection, studio.clock(), who.account.id, "member added", f"project {project_id}", account=account_id)
    return Done()


@router.delete("/projects/{project_id}/members/{account_id}")
def drop_member(project_id: int, account_id: int, studio: House, who: Manager) -> Done:
    """Take someone out of a project; the judgements stay."""
    with studio.store.write() as connection:
        project_for(connection, who, project_id)
        remove_member(connection, project_id, account_id)
        note(connection, studio.clock(), who.account.id, "member removed", f"project {project_id}", account=account_id)
    return Done()


@router.get("/events")
def log(studio: House, who: Owner) -> Log:
    """What was done to projects and people, newest first."""
    with studio.store.read() as connection:
        rows = [dict(row._mapping) for row in events(connection)]
        return Log(events=rows, broken_at=broken_at(connection))
