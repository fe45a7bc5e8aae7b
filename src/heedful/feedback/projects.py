"""Projects: what is asked, how its queue works, and who may see it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)

from heedful.errors import InputError
from heedful.feedback.judgements import DECISION
from heedful.feedback.prepared import AnyRow, Prepared, insert_one
from heedful.feedback.sheet import Frozen, Sheet
from heedful.feedback.store import insert_new
from heedful.feedback.tables import DISPUTES, account, assignment, item, member, project, rater

BY_AGREEMENT = "by agreement"
AGAIN = "again"  # by what an item of a check's later round was chosen
GIVEN = "given"  # and one that comes sooner or later by its row's priority
HOUR = 3600.0
OPEN = DISPUTES[2]


class QueueFields(Frozen):
    """How items are handed out, each setting by itself. Shares are of 1."""

    overlap: int = Field(1, ge=1, le=25)
    """Raters for each item."""
    overlap_most: int = Field(5, ge=1, le=25)
    """Where raters disagree, two more are asked at a time, up to so many; `overlap`: never more."""
    shared: float = Field(0.1, ge=0, le=1)
    """Share of items that `shared_overlap` raters see, so that agreement can be measured."""
    shared_overlap: int = Field(3, ge=1, le=25)
    """Raters for each of these items."""
    gold: float = Field(0.05, ge=0, le=0.5)
    """Share of a rater's items that are hidden checks with a known answer."""
    probe: float = Field(0.02, ge=0, le=0.5)
    """Share of a rater's items that are probes, where the project has any: the same few items again and again."""
    training: int = Field(0, ge=0, le=100)
    """Training items that a rater does first, with feedback."""
    qualify: float = Field(0, ge=0, le=1)
    """Share of the last `training` training items that a rater must have right before real items come; 0: not asked."""
    lease_minutes: float = Field(30.0, gt=0, le=1440)
    """How long an item is held; longer while its page is open."""
    hourly: int = Field(0, ge=0, le=100_000)
    """Most items that a rater may answer within an hour, against votes by script; 0: as many as they like."""
    revise_hours: float = Field(24.0, ge=0)
    """How long a rater may change an answer."""
    random: float = Field(0.2, gt=0, le=1)
    """Share of items that keep a random place whatever rule orders the rest; statistics rest on these."""
    audit: Annotated[float, Field(ge=0, le=1)] | Literal["by agreement"] = 1.0
    """Share of the items with a label by a machine that people are asked about all the same. "by agreement": of each
    judge on each kind of prompt what its agreement with people asks for, when the queue is ordered."""
    suggestions: Literal["hidden", "shown"] = "hidden"
    """Whether raters see a machine's label before they answer; seeing one draws answers towards it."""

    @property
    def audit_at_once(self) -> float:
        """The share that is settled as a label comes in; by agreement it is settled later: people see all so far."""
        return 1.0 if isinstance(self.audit, str) else self.audit


class QueuePolicy(QueueFields):
    """How items are handed out, with settings that fit each other."""

    @model_validator(mode="after")
    def _grows(self) -> QueuePolicy:
        if self.overlap_most < self.overlap:
            raise ValueError("overlap_most must be at least overlap")
        if self.qualify and not self.training:
            raise ValueError("qualify asks for a share of training items: set training to how many of them count")
        return self

    def changed(self, given: QueueFields) -> QueuePolicy:
        """With what is given in its place, and all else as it is. InputError: they don't fit each other."""
        try:
            return QueuePolicy.model_validate(self.model_dump() | given.model_dump(exclude_unset=True))
        except ValidationError as error:
            raise InputError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


@dataclass(frozen=True, slots=True)
class Project:
    """One row of the table, with its sheet and queue read."""

    id: int
    name: str
    about: str
    guidelines: str
    warning: str
    sheet: Sheet
    queue: QueuePolicy
    seed: int
    open: bool


def _project(row: AnyRow) -> Project:
    sheet, queue = _settings(row.sheet, row.queue)
    return Project(row.id, row.name, row.about, row.guidelines, row.warning, sheet, queue, row.seed, row.open)


@lru_cache(maxsize=64)
def _settings(sheet: str, queue: str) -> tuple[Sheet, QueuePolicy]:
    """Both as they stand in the table, which is the same for one item after another."""
    return Sheet.model_validate_json(sheet), QueuePolicy.model_validate_json(queue)


_ROW = select(
    project.c.id, project.c.name, project.c.about, project.c.guidelines, project.c.warning, project.c.seed,
    project.c.open, cast(project.c.sheet, Text).label("sheet"), cast(project.c.queue, Text).label("queue"),
)  # fmt: skip
_PROJECT = Prepared(_ROW.where(project.c.id == bindparam("which")))


def known_project(connection: Connection, name: str, database: str) -> Project:
    """InputError: the database holds none of this name."""
    found = find_project(connection, name)
    if found is None:
        names = ", ".join(f"'{one.name}'" for one in all_projects(connection)) or "none yet"
        raise InputError(f"{database}: holds no project '{name}' (projects: {names})")
    return found


def _drawn_seed() -> int:
    """Nobody may guess which items are checks, or who is served what."""
    return secrets.randbelow(1 << 31)


def create_project(
    connection: Connection,
    name: str,
    sheet: Sheet,
    queue: QueuePolicy,
    about: str = "",
    guidelines: str = "",
    warning: str = "",
) -> int:
    """A new project's id. InputError: the name is taken."""
    if connection.execute(select(project.c.id).where(project.c.name == name)).first():
        raise InputError(f"there is a project '{name}' already; choose another name")
    return insert_one(
        connection,
        project,
        name=name,
        about=about,
        guidelines=guidelines,
        warning=warning,
        sheet=sheet.model_dump(mode="json"),
        queue=queue.model_dump(mode="json"),
        seed=_drawn_seed(),
        tail=0,
        open=True,
        created_at=time.time(),
    )


def read_project(connection: Connection, project_id: int) -> Project:
    """InputError: there is none."""
    row = _PROJECT.first(connection, which=project_id)
    if row is None:
        raise InputError(f"there is no project {project_id}")
    return _project(row)


def find_project(connection: Connection, name: str) -> Project | None:
    row = connection.execute(_ROW.where(project.c.name == name)).first()
    return _project(row) if row else None


def all_projects(connection: Connection) -> list[Project]:
    return [_project(row) for row in connection.execute(_ROW.order_by(project.c.id))]


_MEMBER_OF = Prepared(select(member.c.project_id).where(member.c.account_id == bindparam("who")))


def projects_of(connection: Connection, account_id: int) -> set[int]:
    """Projects that an account is a member of."""
    return {row.project_id for row in _MEMBER_OF.all(connection, who=account_id)}


def change_project(
    connection: Connection,
    project_id: int,
    *,
    about: str | None = None,
    guidelines: str | None = None,
    warning: str | None = None,
    queue: QueuePolicy | None = None,
    open: bool | None = None,
) -> None:
    """Change what is given. The sheet stays: earlier answers were given to it."""
    values: dict[str, Any] = {"about": about, "guidelines": guidelines, "warning": warning, "open": open}
    values["queue"] = queue.model_dump(mode="json") if queue else None
    given = {key: value for key, value in values.items() if value is not None}
    if given:
        connection.execute(update(project).where(project.c.id == project_id).values(**given))


def add_members(connection: Connection, project_ids: Sequence[int], account_id: int) -> None:
    insert_new(connection, member, [{"project_id": p, "account_id": account_id} for p in project_ids])


def remove_member(connection: Connection, project_id: int, account_id: int) -> None:
    where = (member.c.project_id == project_id, member.c.account_id == account_id)
    connection.execute(delete(member).where(*where))


def members(connection: Connection, project_id: int) -> list[AnyRow]:
    """id, login, name and role of each member."""
    columns = (account.c.id, account.c.login, account.c.name, account.c.role)
    query = select(*columns).join(member, member.c.account_id == account.c.id).where(member.c.project_id == project_id)
    return list(connection.execute(query.order_by(account.c.name)))


@dataclass(frozen=True, slots=True)
class Progress:
    """Items of the main queue, how many have a judgement by a person, and how many have all that they should.

    Checks are counted once, in however many rounds they came. `disputed`: those that were found to wait for a decision.
    """

    items: int
    begun: int
    complete: int
    disputed: int
    gold: int
    training: int
    probes: int


def progress(connection: Connection, project_id: int) -> Progress:
    which = (item.c.done > 0, item.c.done >= item.c.target, item.c.dispute == OPEN)
    counts = [func.count().filter(one) for one in which]
    query = (
        select(item.c.part, func.count(), *counts)
        .where(item.c.project_id == project_id, item.c.chosen_by != AGAIN)
        .group_by(item.c.part)
    )
    found = {part: tuple(numbers) for part, *numbers in connection.execute(query)}
    none = (0, 0, 0, 0)
    items, begun, complete, disputed = (
        main + chat for main, chat in zip(found.get("main", none), found.get("chat", none), strict=True)
    )
    gold, training, probes = (found.get(part, none)[0] for part in ("gold", "training", "probe"))
    return Progress(items, begun, complete, disputed, gold, training, probes)


def asked_in_all(connection: Connection, project_id: int, skills: Sequence[str]) -> int:
    """Items of the main queue that ask for one of these skills, answered or not: so nothing is told of who answered."""
    where = (item.c.project_id == project_id, item.c.part == "main", item.c.skill.in_(skills))
    query = select(func.count()).select_from(item).where(*where, item.c.chosen_by != AGAIN)
    return int(connection.execute(query).scalar_one())


_SKILL = re.compile(r"[a-z0-9][a-z0-9 -]{0,39}")  # so that one is found in a list of them by any database


def skill_named(name: str) -> str:
    """A skill as it is stored. InputError: it is no name of one."""
    name = " ".join(name.lower().split())
    if not _SKILL.fullmatch(name):
        raise InputError("a skill is named by up to 40 letters from a to z, digits, spaces and hyphens")
    return name


def carries(skill: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether an account carries a skill; everybody carries none."""
    return or_(skill == "", cast(account.c.skills, Text).like('%"' + skill + '"%'))


def lacking_skills(connection: Connection, project_id: int) -> dict[str, int]:
    """Skills that open items ask for and no active rater here carries, with how many items wait."""
    here = (member.c.project_id == project_id, account.c.active, account.c.role != "service")
    rows = connection.execute(select(account.c.skills).join(member, member.c.account_id == account.c.id).where(*here))
    carried = {skill for skills in rows.scalars() for skill in skills}
    where = (item.c.project_id == project_id, item.c.skill != "", item.c.open == true())
    query = select(item.c.skill, func.count().label("n")).where(*where).group_by(item.c.skill)
    return {str(row.skill): int(row.n) for row in connection.execute(query) if row.skill not in carried}


_RATER = Prepared(select(rater.c.id).where(rater.c.account_id == bindparam("who")))


def known_rater(connection: Connection, account_id: int) -> int:
    """The rater that an account is; 0: it is none yet."""
    found = _RATER.first(connection, who=account_id)
    return int(found.id) if found else 0


def rater_for(connection: Connection, account_id: int) -> int:
    """The rater that an account is; made with a pseudonym at first need."""
    if found := known_rater(connection, account_id):
        return found
    name = f"rater-{secrets.token_hex(4)}"
    return insert_one(connection, rater, kind="human", name=name, account_id=account_id)


def rater_named(connection: Connection, kind: str, name: str) -> int:
    """A rater without an account: a machine, or a person whose labels were imported."""
    found = connection.execute(select(rater.c.id, rater.c.kind).where(rater.c.name == name)).first()
    if found and found.kind != kind:
        raise InputError(f"rater '{name}' is known as {found.kind}; give this {kind} rater another name")
    return int(found.id) if found else insert_one(connection, rater, kind=kind, name=name, account_id=None)


_DONE = (
    assignment.c.rater_id == bindparam("who"),
    assignment.c.project_id == bindparam("where"),
    assignment.c.state == literal_column("'done'"),  # a parameter would have SQLite plan anew each time
)
_SINCE = select(func.count()).where(*_DONE, assignment.c.closed_at >= bindparam("since"))
# Decisions are few: `+ 0.0` keeps SQLite off the index of times, which would have it read every row of the day.
_DECIDED = select(func.count()).where(
    *_DONE, assignment.c.part == DECISION, assignment.c.closed_at + 0.0 >= bindparam("since")
)
_JUDGED = Prepared(select((_SINCE.scalar_subquery() - _DECIDED.scalar_subquery()).label("n")))


def judged_by(connection: Connection, project_id: int, rater_id: int, since: float = 0.0) -> int:
    """How many items a rater has judged since a time."""
    found = _JUDGED.first(connection, who=rater_id, where=project_id, since=since)
    return int(found.n) if found else 0


_NTH = (
    select(assignment.c.closed_at)
    .where(assignment.c.rater_id == bindparam("who"), assignment.c.project_id == bindparam("where"))
    .where(assignment.c.state == "done", assignment.c.part != DECISION)
    .order_by(assignment.c.closed_at.desc())
    .limit(1)
)


def room_within_the_hour(connection: Connection, of: Project, rater_id: int, now: float) -> int:
    """How many items more a rater may answer now, where the project has a limit."""
    return of.queue.hourly - judged_by(connection, of.id, rater_id, now - HOUR)


def again_at(connection: Connection, of: Project, rater_id: int, now: float) -> float:
    """When a rater who has answered as many items as the project takes within an hour may go on; 0: now."""
    if not of.queue.hourly or room_within_the_hour(connection, of, rater_id, now) > 0:
        return 0.0
    nth = connection.execute(_NTH.offset(of.queue.hourly - 1), {"who": rater_id, "where": of.id}).scalar_one()
    return float(nth) + HOUR
