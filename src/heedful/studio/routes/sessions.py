"""Signing in and out, one's own account, tokens, and the links by which people come in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from heedful.feedback import accounts
from heedful.feedback.accounts import DAY, SESSION_DAYS, Role, Scope, SignInError
from heedful.feedback.audit import note
from heedful.studio.access import House, Known, Refused, Studio, cookie_name
from heedful.studio.routes.shapes import Body, Done, Me

router = APIRouter(tags=["account"])
Password = Annotated[str, Field(max_length=1000)]


class SignIn(Body):
    """Name and password."""

    login: str = Field(max_length=80)
    """The account's name."""
    password: Password
    """Its password."""


class NewPassword(Body):
    """A change of password; the old one is asked again."""

    old: Password
    """The one that is valid now."""
    new: Password
    """The one to be."""


class Joining(Body):
    """What an invited person fills in; for a reset the password alone."""

    login: str = Field("", max_length=80)
    """The name to sign in by; left out for a reset."""
    name: str = Field("", max_length=80)
    """The name that others read; left out for a reset."""
    password: Password
    """The password to be."""


class LinkInfo(BaseModel):
    """What a link is for."""

    kind: str
    """`owner`, `invite` or `reset`."""
    role: Role
    """Of the account that it makes or resets."""


class NewToken(Body):
    """A token to be made."""

    name: str = Field(max_length=80)
    """What it is for, in its list."""
    scopes: list[Scope]
    """`read`: all that is asked by GET; `label`: to judge; `manage`: all else that the role may."""
    days: float = 30
    """How long it is valid."""


class TokenMade(BaseModel):
    """The token itself, told this once."""

    token: str
    """`heedful_…`, to be sent as `Authorization: Bearer`."""


class TokenRow(BaseModel):
    """A token as its list shows it."""

    id: int
    """Its number, to revoke it by."""
    name: str
    """What it is for."""
    scopes: list[Scope]
    """What it may do."""
    created_at: float
    """Seconds since 1970."""
    expires_at: float
    """Seconds since 1970."""
    revoked: bool
    """Whether it is worth nothing any more."""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _set_cookie(studio: Studio, response: Response, secret: str) -> None:
    response.set_cookie(
        cookie_name(studio.settings),
        secret,
        max_age=int(SESSION_DAYS * DAY),
        httponly=True,
        samesite="lax",
        secure=studio.settings.secure,
        path="/",
    )


@router.post("/session")
def sign_in(body: SignIn, request: Request, response: Response, studio: House) -> Me:
    """Begin a session; answers with the cookie."""
    now, login = studio.clock(), body.login.strip().lower()
    with studio.store.read() as connection:
        accounts.refuse_guessing(connection, login, _address(request), now)
        found = accounts.verify(connection, login, body.password)
    with studio.store.write() as connection:
        if found is None:
            accounts.failed(connection, login, _address(request), now)
        else:
            secret = accounts.begin_session(connection, found.id, now)
    if found is None:
        raise SignInError("name and password don't fit; try again, or ask for a reset link")
    _set_cookie(studio, response, secret)
    return Me(id=found.id, login=found.login, name=found.name, role=found.role)


@router.delete("/session")
def sign_out(request: Request, response: Response, studio: House) -> Done:
    """End this session."""
    secret = request.cookies.get(cookie_name(studio.settings), "")
    if secret:
        with studio.store.write() as connection:
            accounts.end_session(connection, secret)
    response.delete_cookie(cookie_name(studio.settings), path="/", secure=studio.settings.secure, httponly=True)
    return Done()


@router.get("/me")
def me(who: Known) -> Me:
    """Who the caller is."""
    one = who.account
    return Me(id=one.id, login=one.login, name=one.name, role=one.role)


@router.post("/me/password")
def change_password(body: NewPassword, request: Request, response: Response, studio: House, who: Known) -> Done:
    """Set a new password; every other session of the account ends, and every token."""
    now, login = studio.clock(), who.account.login
    with studio.store.read() as connection:
        accounts.refuse_guessing(connection, login, _address(request), now)
        fits = accounts.verify(connection, login, body.old)
    with studio.store.write() as connection:
        if fits:
            accounts.set_password(connection, who.account.id, body.new)
            secret = accounts.begin_session(connection, who.account.id, now)
            note(connection, now, who.account.id, "password changed", f"account {who.account.id}")
        else:
            accounts.failed(connection, login, _address(request), now)
    if not fits:
        raise Refused(400, "the old password does not fit")
    _set_cookie(studio, response, secret)
    return Done()


@router.get("/tokens")
def tokens(studio: House, who: Known) -> list[TokenRow]:
    """One's own tokens."""
    with studio.store.read() as connection:
        rows = accounts.tokens_of(connection, who.account.id)
    return [TokenRow.model_validate(row, from_attributes=True) for row in rows]


@router.post("/tokens")
def new_token(body: NewToken, studio: House, who: Known) -> TokenMade:
    """Make a token that may do no more than its scopes, and no more than the account's role."""
    if who.scopes is not None:
        raise Refused(403, "a token can make no token, which would outlive it; sign in and make one")
    now = studio.clock()
    with studio.store.write() as connection:
        secret = accounts.create_token(connection, who.account.id, body.name, body.scopes, body.days, now)
        own = f"account {who.account.id}"  # not the token's name: the log keeps what is erased elsewhere
        note(connection, now, who.account.id, "token made", own, scopes=" ".join(body.scopes), days=body.days)
    return TokenMade(token=secret)


@router.delete("/tokens/{token_id}")
def revoke_token(token_id: int, studio: House, who: Known) -> Done:
    """Make a token worthless at once."""
    with studio.store.write() as connection:
        accounts.revoke_token(connection, who.account.id, token_id)
        note(connection, studio.clock(), who.account.id, "token revoked", f"token {token_id}")
    return Done()


@router.get("/links/{secret}")
def look_at_link(secret: str, studio: House) -> LinkInfo:
    """What a one-time link is for."""
    with studio.store.read() as connection:
        found = accounts.read_link(connection, secret, studio.clock())
    return LinkInfo(kind=found.kind, role=found.role)


@router.post("/links/{secret}")
def use_link(secret: str, body: Joining, response: Response, studio: House) -> Me:
    """Come in by a one-time link: make the account, or set the new password."""
    now = studio.clock()
    with studio.store.write() as connection:
        account_id = accounts.use_link(connection, secret, body.login, body.name, body.password, now)
        cookie = accounts.begin_session(connection, account_id, now)
        found = accounts.read_account(connection, account_id)
        note(connection, now, account_id, "came in by a link", f"account {account_id}", role=found.role)
    _set_cookie(studio, response, cookie)
    return Me(id=found.id, login=found.login, name=found.name, role=found.role)
