"""Who may come in: accounts, passwords, sessions, tokens and one-time links. No secret is stored, only its hash.

Links, cookies and tokens are 256 random bits, of which the database keeps the SHA-256; passwords are kept as argon2id.
There is no default password and no registration: the first owner comes by a link that the terminal prints.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, bindparam, delete, func, select, update

from heedful.errors import InputError
from heedful.feedback.prepared import AnyRow, Prepared, insert_one
from heedful.feedback.projects import add_members, known_rater, skill_named
from heedful.feedback.queue import from_the_start
from heedful.feedback.tables import account, attempt, link, member, session, token

Role = Literal["owner", "manager", "reviewer", "rater", "service"]
ROLES: tuple[Role, ...] = ("owner", "manager", "reviewer", "rater", "service")
Scope = Literal["read", "label", "manage"]
SCOPES: tuple[Scope, ...] = ("read", "label", "manage")
DAY = 86400.0
ERASED = "erased-"  # how the login of an erased account begins; its number follows
SESSION_DAYS, LINK_DAYS = 14, 7
SHORTEST, LONGEST = 10, 200  # characters of a password
TRIES, WINDOW = 5, 15 * 60.0  # failed sign-ins for one name, or ten times as many from one address, in so many seconds
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # OWASP's argon2id parameters
_one_at_a_time = Lock()  # many sign-ins at once would take 19 MiB each
_NOBODY = _hasher.hash(secrets.token_hex(16))  # verified for unknown names, so that they take as long as known ones


class SignInError(InputError):
    """A sign-in that failed, without saying which half of it was wrong."""


class Throttled(InputError):
    """Too many failed sign-ins."""


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may come in."""

    id: int
    login: str
    name: str
    role: Role


def _account(row: AnyRow) -> Account:
    return Account(row.id, row.login, row.name, row.role)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_password(password: str, login: str) -> None:
    """InputError: it is too short, too long, or the name itself."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputError(f"a password has {SHORTEST} to {LONGEST} characters; a few words in a row make a good one")
    if password.lower() == login or len(set(password)) < 4:
        raise InputError("this password is too easy to guess; a few words in a row make a good one")


def _digest_password(password: str) -> str:
    with _one_at_a_time:
        return _hasher.hash(password)


def _fits(password: str, digest: str) -> bool:
    try:
        with _one_at_a_time:
            return _hasher.verify(digest, password)
    except (VerificationError, InvalidHashError):
        return False


def create_account(connection: Connection, login: str, name: str, role: Role, password: str, now: float) -> int:
    """A new account's id; an empty password makes one that can only use tokens. InputError: the name is taken."""
    login = login.strip().lower()
    if not 2 <= len(login) <= 80 or any(c.isspace() for c in login) or not login.isprintable():
        raise InputError("a login name has 2 to 80 letters, digits or signs, without spaces")
    if password or role != "service":
        check_password(password, login)
    if connection.execute(select(account.c.id).where(account.c.login == login)).first():
        raise InputError(f"the login name '{login}' is taken; choose another")
    digest = _digest_password(password) if password else ""
    values = {"name": name.strip()[:80] or login, "role": role, "active": True, "created_at": now}
    return insert_one(connection, account, login=login, password=digest, **values)


_ACTIVE = Prepared(select(account).where(account.c.id == bindparam("which"), account.c.active))


def read_account(connection: Connection, account_id: int) -> Account:
    row = _ACTIVE.first(connection, which=account_id)
    if row is None:
        raise InputError(f"there is no active account {account_id}")
    return _account(row)


def all_accounts(connection: Connection) -> Sequence[AnyRow]:
    columns = (account.c.id, account.c.login, account.c.name, account.c.role, account.c.active, account.c.created_at)
    return connection.execute(select(*columns, account.c.skills).order_by(account.c.id)).all()


def owners(connection: Connection) -> int:
    query = select(func.count()).select_from(account).where(account.c.role == "owner", account.c.active)
    return int(connection.execute(query).scalar_one())


def change_account(connection: Connection, account_id: int, role: Role | None, active: bool | None) -> None:
    """InputError: the last owner would be gone."""
    row = read_row(connection, account_id)
    loses = row.role == "owner" and row.active and (active is False or role not in (None, "owner"))
    if loses and owners(connection) == 1:
        raise InputError("this is the only owner: make another account owner first")
    values = {key: value for key, value in (("role", role), ("active", active)) if value is not None}
    if values:
        connection.execute(update(account).where(account.c.id == account_id).values(**values))
    if active is False:
        end_sessions(connection, account_id)


def give_skills(connection: Connection, account_id: int, skills: Sequence[str]) -> list[str]:
    """The skills that an account carries from now on; items that were passed over for one come by again."""
    read_account(connection, account_id)
    named = sorted({skill_named(skill) for skill in skills})
    connection.execute(update(account).where(account.c.id == account_id).values(skills=named))
    if rater_id := known_rater(connection, account_id):
        from_the_start(connection, rater_id)
    return named


def erase_identity(connection: Connection, account_id: int) -> None:
    """Forget who an account was, and how it came in."""
    login = read_row(connection, account_id).login
    change_account(connection, account_id, None, False)
    values = {"login": f"{ERASED}{account_id}", "name": "erased", "password": "", "skills": []}
    connection.execute(update(account).where(account.c.id == account_id).values(**values))
    connection.execute(update(token).where(token.c.account_id == account_id).values(revoked=True, name="erased"))
    connection.execute(update(link).where(link.c.account_id == account_id).values(used=True))
    connection.execute(delete(attempt).where(attempt.c.key == f"login:{login}"))
    connection.execute(delete(member).where(member.c.account_id == account_id))


def read_row(connection: Connection, account_id: int) -> AnyRow:
    row = connection.execute(select(account).where(account.c.id == account_id)).first()
    if row is None:
        raise InputError(f"there is no account {account_id}")
    return row


# ── signing in ──────────────────────────────────────────────────────────────────────────────────────────────────────
def refuse_guessing(connection: Connection, login: str, address: str, now: float) -> None:
    """Throttled: too many failures for this name or from this address."""
    for key, most in ((f"login:{login}", TRIES), (f"from:{address}", 10 * TRIES)):
        where = (attempt.c.key == key, attempt.c.at > now - WINDOW)
        times = list(connection.execute(select(attempt.c.at).where(*where).order_by(attempt.c.at)).scalars())
        if len(times) >= most:
            minutes = max(1, round((times[-most] + WINDOW - now) / 60))
            raise Throttled(f"too many failed sign-ins; try again in {minutes} minutes, or ask for a reset link")


def verify(connection: Connection, login: str, password: str) -> Account | None:
    """The account, if name and password fit. Takes as long for an unknown name."""
    row = connection.execute(select(account).where(account.c.login == login.strip().lower(), account.c.active)).first()
    fits = _fits(password[: LONGEST + 1], row.password if row and row.password else _NOBODY)
    return _account(row) if row and row.password and fits else None


def failed(connection: Connection, login: str, address: str, now: float) -> None:
    for key in (f"login:{login}"[:160], f"from:{address}"[:160]):
        connection.execute(attempt.insert().values(key=key, at=now))
    connection.execute(delete(attempt).where(attempt.c.at < now - WINDOW))


def begin_session(connection: Connection, account_id: int, now: float) -> str:
    """The cookie's secret."""
    secret = secrets.token_urlsafe(32)
    connection.execute(delete(session).where(session.c.expires_at < now))
    values = {"hash": hashed(secret), "account_id": account_id, "expires_at": now + SESSION_DAYS * DAY}
    connection.execute(session.insert().values(**values))
    return secret


_OF_SESSION = Prepared(
    select(account)
    .join(session, session.c.account_id == account.c.id)
    .where(session.c.hash == bindparam("secret"), session.c.expires_at > bindparam("now"), account.c.active)
)


def account_of_session(connection: Connection, secret: str, now: float) -> Account | None:
    row = _OF_SESSION.first(connection, secret=hashed(secret), now=now)
    return _account(row) if row else None


def end_session(connection: Connection, secret: str) -> None:
    connection.execute(delete(session).where(session.c.hash == hashed(secret)))


def end_sessions(connection: Connection, account_id: int) -> None:
    connection.execute(delete(session).where(session.c.account_id == account_id))


def set_password(connection: Connection, account_id: int, password: str) -> None:
    """A new password ends every session of the account, and every token."""
    row = read_row(connection, account_id)
    check_password(password, row.login)
    digest = _digest_password(password)
    connection.execute(update(account).where(account.c.id == account_id).values(password=digest))
    end_sessions(connection, account_id)
    revoke_tokens(connection, account_id)
    connection.execute(delete(attempt).where(attempt.c.key == f"login:{row.login}"))


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def create_token(
    connection: Connection, account_id: int, name: str, scopes: Sequence[Scope], days: float, now: float
) -> str:
    """The token itself, shown this once."""
    if not scopes or set(scopes) - set(SCOPES):
        raise InputError(f"a token needs scopes out of {', '.join(SCOPES)}")
    if not 0 < days <= 366:
        raise InputError("a token lasts from a moment to 366 days")
    secret = f"heedful_{secrets.token_urlsafe(32)}"
    insert_one(
        connection,
        token,
        hash=hashed(secret),
        account_id=account_id,
        name=name.strip()[:80] or "token",
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=now + days * DAY,
        revoked=False,
    )
    return secret


_OF_TOKEN = Prepared(
    select(token.c.account_id, token.c.scopes, token.c.expires_at, token.c.revoked, account.c.active)
    .join(account, account.c.id == token.c.account_id)
    .where(token.c.hash == bindparam("secret"))
)


def account_of_token(connection: Connection, secret: str, now: float) -> tuple[Account, frozenset[Scope]] | str:
    """Who a token stands for and what it may do; a sentence where it is worth nothing."""
    row = _OF_TOKEN.first(connection, secret=hashed(secret))
    if row is None:
        return "this token is not known here; make one under 'Your account', and send it as 'Authorization: Bearer …'"
    if row.revoked or not row.active:
        return "this token was revoked; make a new one under 'Your account'"
    if row.expires_at <= now:
        return "this token has expired; make a new one under 'Your account'"
    return read_account(connection, row.account_id), frozenset(row.scopes)


def tokens_of(connection: Connection, account_id: int) -> Sequence[AnyRow]:
    columns = (token.c.id, token.c.name, token.c.scopes, token.c.created_at, token.c.expires_at, token.c.revoked)
    return connection.execute(select(*columns).where(token.c.account_id == account_id).order_by(token.c.id)).all()


def revoke_tokens(connection: Connection, account_id: int) -> None:
    connection.execute(update(token).where(token.c.account_id == account_id).values(revoked=True))


def revoke_token(connection: Connection, account_id: int, token_id: int) -> None:
    where = (token.c.id == token_id, token.c.account_id == account_id)
    if not connection.execute(update(token).where(*where).values(revoked=True)).rowcount:
        raise InputError("there is no such token of yours")


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Link:
    """A link that was not used yet."""

    kind: str
    role: Role
    projects: tuple[int, ...]
    account_id: int | None


def create_link(
    connection: Connection,
    kind: Literal["owner", "invite", "reset"],
    now: float,
    *,
    role: Role = "rater",
    projects: Sequence[int] = (),
    account_id: int | None = None,
) -> str:
    """The secret of a one-time link. An owner's link replaces earlier ones."""
    if kind == "owner":
        connection.execute(update(link).where(link.c.kind == "owner").values(used=True))
    secret = secrets.token_urlsafe(32)
    values = {"hash": hashed(secret), "kind": kind, "role": role, "projects": list(projects), "account_id": account_id}
    connection.execute(link.insert().values(**values, expires_at=now + LINK_DAYS * DAY, used=False))
    return secret


def read_link(connection: Connection, secret: str, now: float) -> Link:
    """InputError: it was never given out, was used, or is too old."""
    row = connection.execute(select(link).where(link.c.hash == hashed(secret)).with_for_update()).first()
    if row is None:
        raise InputError("this link is not known here; ask for a new one")
    if row.used:
        raise InputError("this link was used already; sign in, or ask for a new one")
    if row.expires_at <= now:
        raise InputError(f"this link is older than {LINK_DAYS} days; ask for a new one")
    return Link(row.kind, row.role, tuple(row.projects), row.account_id)


def use_link(connection: Connection, secret: str, login: str, name: str, password: str, now: float) -> int:
    """Make the invited account, or set the new password; returns the account's id.

    InputError: the link is no good, or the account has got another role since: whoever made the link might not have
    been let to make one for that role.
    """
    found = read_link(connection, secret, now)
    connection.execute(update(link).where(link.c.hash == hashed(secret)).values(used=True))
    if found.account_id is not None:
        if read_row(connection, found.account_id).role != found.role:
            raise InputError("this account has another role since the link was made; ask for a new link")
        set_password(connection, found.account_id, password)
        return found.account_id
    made = create_account(connection, login, name, found.role, password, now)
    add_members(connection, found.projects, made)
    return made
