"""The queue: which item a rater gets next, leased for a while, so that no place is filled twice and none is lost.

Items of a part stand at places along a line, and each rater walks it once: the walk resumes where it was, so that
finding the next item takes the same time at a hundred items and at a hundred thousand. An item whose place is freed, or
that needs more raters, goes to the line's end, where every walk still comes by. Raters follow one line, so that items
begun by one are finished by the next.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, literal_column, select, true, tuple_, update

from heedful.errors import InputError
from heedful.feedback.judgements import DECISION
from heedful.feedback.prepared import AnyRow, Prepared, insert_one
from heedful.feedback.projects import AGAIN, OPEN, Project, room_within_the_hour
from heedful.feedback.qualification import qualification, skills_of
from heedful.feedback.tables import OVER, assignment, draft, item, notice, project, seat

AHEAD = 2  # items that a rater holds at once: the one on the screen and the next
LEASING = 7303  # PostgreSQL's lock under which places of a project are given out
CLOSED = ("done", "skipped", "reported")  # what a rater is through with
RUNNING = assignment.c.state == literal_column("'leased'")  # said so that the index of running leases is used
EXPIRED = assignment.c.state == literal_column("'expired'")  # a parameter would have SQLite plan anew each time
FIRST = -1e18  # before every place


def share_of(*names: object) -> float:
    """A number in [0, 1) that hangs on the names alone, so that a draw is the same when it is made again."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / float(1 << 48)


def lease(connection: Connection, of: Project, rater_id: int, now: float, ahead: int = AHEAD) -> list[int]:
    """The assignments that a rater now holds, oldest first: those held already, and new ones up to `ahead`."""
    if connection.dialect.name == "postgresql":  # a walk that passed over a row in use would not come back to it
        connection.execute(select(func.pg_advisory_xact_lock(LEASING, of.id)))
    expire(connection, now)
    until = now + 60 * of.queue.lease_minutes
    mine = _held(connection, of.id, rater_id)
    for key in mine:
        _LONGER.change(connection, which=key, until=until)
    most = min(ahead, room_within_the_hour(connection, of, rater_id, now)) if of.queue.hourly else ahead
    while of.open and len(mine) < most:
        found = _again(connection, of, rater_id, now, until) or _next(connection, of, rater_id, now, until)
        if not found:
            break
        mine.append(found)
    return mine


_MINE = (assignment.c.rater_id == bindparam("who"), assignment.c.project_id == bindparam("where"))
_LONGER = Prepared(
    update(assignment).where(assignment.c.id == bindparam("which")).values(expires_at=bindparam("until"))
)
_HELD = Prepared(select(assignment.c.id).where(*_MINE, RUNNING, assignment.c.part != "chat").order_by(assignment.c.id))
_OVER = Prepared(
    select(assignment.c.id, assignment.c.item_id, assignment.c.slot)
    .where(RUNNING, assignment.c.expires_at < bindparam("now"), assignment.c.part != "chat")
    .limit(200)
    .with_for_update(skip_locked=True)
)


def _held(connection: Connection, project_id: int, rater_id: int) -> list[int]:
    return [row.id for row in _HELD.all(connection, who=rater_id, where=project_id)]


def expire(connection: Connection, now: float) -> None:
    """Free the places of leases that ran out; what their raters still send is kept."""
    for row in _OVER.all(connection, now=now):
        connection.execute(update(assignment).where(assignment.c.id == row.id).values(state="expired", slot=None))
        if row.slot is not None:
            free_place(connection, row.item_id)


def free_place(connection: Connection, item_id: int) -> None:
    """One place of an item is free again: it goes to the line's end, unless a reviewer has closed it.

    Nor does a turn of a chat, which is nobody else's.
    """
    freed = update(item).where(item.c.id == item_id).values(taken=item.c.taken - 1)
    row = connection.execute(freed.returning(item.c.dispute, item.c.part)).one()
    if row.dispute not in OVER and row.part != "chat":
        to_the_end(connection, item_id)


def to_the_end(connection: Connection, item_id: int) -> None:
    """Open an item at the line's end, where every rater's walk will come by."""
    project_id = connection.execute(select(item.c.project_id).where(item.c.id == item_id)).scalar_one()
    place = next_place(connection, project_id)
    connection.execute(update(item).where(item.c.id == item_id).values(open=True, place=float(place)))


def next_place(connection: Connection, project_id: int) -> int:
    """A new whole place behind all others."""
    query = update(project).where(project.c.id == project_id).values(tail=project.c.tail + 1).returning(project.c.tail)
    return int(connection.execute(query).scalar_one())


_BEGUN = Prepared(
    select(assignment.c.id, item.c.id.label("item_id"), item.c.target, item.c.part)
    .join(item, item.c.id == assignment.c.item_id)
    .where(*_MINE, EXPIRED, item.c.open == true())
    .limit(1)
    .with_for_update(skip_locked=True)
)


def _again(connection: Connection, of: Project, rater_id: int, now: float, until: float) -> int | None:
    """An item that this rater had begun and whose lease ran out, if it still has a free place."""
    found = _BEGUN.first(connection, who=rater_id, where=of.id)
    if found is None:
        return None
    slot = take_place(connection, found.item_id, found.target)
    values = {"state": "leased", "slot": slot, "leased_at": now, "expires_at": until}
    connection.execute(update(assignment).where(assignment.c.id == found.id).values(**values))
    return int(found.id)


_SLOTS = Prepared(
    select(assignment.c.slot).where(assignment.c.item_id == bindparam("which"), assignment.c.slot.is_not(None))
)
_TAKE = Prepared(
    update(item).where(item.c.id == bindparam("which")).values(taken=bindparam("places"), open=bindparam("more"))
)


def take_place(connection: Connection, item_id: int, target: int) -> int | None:
    """The lowest free place of an item, which is then taken; None where it has none (or needs none: target 0)."""
    if not target:
        return None
    taken = {row.slot for row in _SLOTS.all(connection, which=item_id)}
    free = [slot for slot in range(target) if slot not in taken]
    if not free:
        return None
    _TAKE.change(connection, which=item_id, places=len(taken) + 1, more=len(free) > 1)
    return free[0]


_SEATS = Prepared(select(seat).where(seat.c.project_id == bindparam("where"), seat.c.rater_id == bindparam("who")))


def _next(connection: Connection, of: Project, rater_id: int, now: float, until: float) -> int | None:
    """A new assignment from the part whose turn it is."""
    seats = {row.part: row for row in _SEATS.all(connection, where=of.id, who=rater_id)}
    skills = skills_of(connection, rater_id)
    for part in _parts(connection, of, rater_id, seats):
        found = _walk(connection, of.id, rater_id, part, seats.get(part), skills)
        if found is None and _comes_again(of, part) and once_more(connection, of, part, skills):
            found = _walk(connection, of.id, rater_id, part, seats.get(part), skills)
        if found is None:
            continue
        slot = take_place(connection, found.id, found.target)
        if found.target and slot is None:
            continue
        return hold(connection, of, found.id, len(found.completions), rater_id, part, slot, now, until)
    return None


def hold(
    connection: Connection,
    of: Project,
    item_id: int,
    answers: int,
    rater_id: int,
    part: str,
    slot: int | None,
    now: float,
    until: float,
) -> int:
    """Give an item to a rater, with the order of its answers drawn; returns the assignment."""
    shown = order_of(of.seed, item_id, answers, rater_id if slot is None else slot)
    return insert_one(
        connection, assignment, project_id=of.id, item_id=item_id, rater_id=rater_id, slot=slot, part=part,
        shown=list(shown), state="leased", late=False, leased_at=now, expires_at=until, closed_at=0.0,
        judgement_id=None, choice=-1, verdict="", agrees=-1,
    )  # fmt: skip


def _comes_again(of: Project, part: str) -> bool:
    """Probes do, and training items where a rater goes on until qualified."""
    return part == "probe" or (part == "training" and of.queue.qualify > 0)


def _parts(connection: Connection, of: Project, rater_id: int, seats: dict[str, AnyRow]) -> list[str]:
    """Training first; then a probe where its turn is, gold by a draw of its own for each item, else the main queue."""
    drawn = {part: seats[part].drawn if part in seats else 0 for part in ("training", "gold", "probe", "main")}
    if drawn["training"] < of.queue.training:
        return ["training", "main"]
    if of.queue.qualify and drawn["training"]:
        so_far = qualification(connection, of, rater_id)
        if so_far.held and not so_far.passed:
            return []  # what is held now may decide it
        if not so_far.passed:
            return ["training", "main"]
    turn = drawn["main"] + drawn["gold"] + drawn["probe"]
    if of.queue.probe and turn == probe_turn(of, rater_id, turn):
        return ["probe", "main"]
    return ["gold", "main"] if share_of(of.seed, "gold", rater_id, turn) < of.queue.gold else ["main"]


def probe_turn(of: Project, rater_id: int, turn: int) -> int:
    """The turn of the probe among the turns around this one: one in each 1/share, drawn from their first half.

    So nobody can count to it, and the same item doesn't come twice in a row.
    """
    apart = max(1, round(1 / of.queue.probe))
    block = turn // apart
    return block * apart + int(share_of(of.seed, "probe", rater_id, block) * max(1, apart // 2))


def once_more(connection: Connection, of: Project, part: str, skills: list[str]) -> bool:
    """Another round of a part's items at the line's end, for a rater who has had them all. False: none is for them.

    Each round has rows of its own: so a rater has each row once, as everywhere, and nothing tells one round from
    another on the screen.
    """
    where = (item.c.project_id == of.id, item.c.part == part, item.c.chosen_by != AGAIN, item.c.open == true())
    rows = connection.execute(select(item).where(*where).order_by(item.c.id)).all()
    if not any(row.skill in skills for row in rows):
        return False
    place = next_place(connection, of.id)
    new = [
        {name: value for name, value in row._mapping.items() if name != "id"}
        | {"key": _key_of_round(row.key, place), "done": 0, "chosen_by": AGAIN}
        | {"place": place + share_of(of.seed, "place", row.key, place)}
        for row in rows
    ]
    connection.execute(item.insert(), new)
    return True


def rounds_of(
    connection: Connection, project_id: int, part: str, prompt_id: int, completions: Sequence[int]
) -> list[int]:
    """The items of all rounds of a check, by number."""
    where = (item.c.project_id == project_id, item.c.part == part, item.c.prompt_id == prompt_id)
    rows = connection.execute(select(item.c.id, item.c.completions).where(*where)).all()
    return [row.id for row in rows if list(row.completions) == list(completions)]  # PostgreSQL compares no JSON


def _key_of_round(key: str, place: int) -> str:
    return hashlib.sha256(f"{key}/{place}".encode()).hexdigest()


_BEHIND_ANY = (
    select(item.c.id, item.c.place, item.c.target, item.c.completions)
    .where(item.c.project_id == bindparam("where"), item.c.part == bindparam("which"), item.c.open == true())
    .where(tuple_(item.c.place, item.c.id) > tuple_(bindparam("place"), bindparam("item")))
    .where(~exists().where(assignment.c.item_id == item.c.id, assignment.c.rater_id == bindparam("who")))
    .order_by(item.c.place, item.c.id)
    .limit(1)
)
_PLAIN = _BEHIND_ANY.where(item.c.skill == literal_column("''"))  # for most raters, who carry no skill
_SKILLED = _BEHIND_ANY.where(item.c.skill.in_(bindparam("skills", expanding=True)))
_BEHIND, _BEHIND_TAKEN = Prepared(_PLAIN), Prepared(_PLAIN.with_for_update(of=item))


def _walk(
    connection: Connection, project_id: int, rater_id: int, part: str, at: AnyRow | None, skills: list[str]
) -> AnyRow | None:
    """The first open item behind the rater's seat that the rater has not had and has the skill for; the seat moves
    there, past those that need another one: giving a skill sends the rater back to the start.
    """
    here = (at.place, at.item_id) if at else (FIRST, -1)
    from_here = {"where": project_id, "which": part, "place": here[0], "item": here[1], "who": rater_id}
    found = _behind(connection, from_here, skills, take=True)
    while found is None and _behind(connection, from_here, skills, take=False):  # it was taken while we waited for it
        found = _behind(connection, from_here, skills, take=True)
    if found:
        _sit(connection, project_id, rater_id, part, found.place, found.id, at, drawn=1)
    elif part == "main":
        end = connection.execute(select(project.c.tail).where(project.c.id == project_id)).scalar_one() + 1.0
        if here < (end, -1):
            _sit(connection, project_id, rater_id, part, end, -1, at, drawn=0)
    return found


def _behind(connection: Connection, from_here: dict[str, Any], skills: list[str], *, take: bool) -> AnyRow | None:
    """take: with the row, where others may be writing at the same time."""
    if skills == [""]:
        return (_BEHIND_TAKEN if take else _BEHIND).first(connection, **from_here)
    query = _SKILLED.with_for_update(of=item) if take else _SKILLED
    return connection.execute(query, from_here | {"skills": skills}).first()


_SIT = Prepared(
    update(seat)
    .where(seat.c.project_id == bindparam("where"), seat.c.rater_id == bindparam("who"))
    .where(seat.c.part == bindparam("which"))
    .values(place=bindparam("at_place"), item_id=bindparam("at_item"), drawn=seat.c.drawn + bindparam("more"))
)


def _sit(
    connection: Connection,
    project_id: int,
    rater_id: int,
    part: str,
    place: float,
    item_id: int,
    at: AnyRow | None,
    *,
    drawn: int,
) -> None:
    if at is None:
        values = {"project_id": project_id, "rater_id": rater_id, "part": part}
        connection.execute(seat.insert().values(**values, place=place, item_id=item_id, drawn=drawn))
        return
    here = {"where": project_id, "who": rater_id, "which": part}
    _SIT.change(connection, **here, at_place=place, at_item=item_id, more=drawn)


def from_the_start(connection: Connection, rater_id: int) -> None:
    """A rater's walks begin anew: items that were passed over are for this rater now."""
    connection.execute(update(seat).where(seat.c.rater_id == rater_id).values(place=FIRST, item_id=-1))


def back_to(connection: Connection, project_id: int, place: float) -> None:
    """Every walk that has gone past a place comes back to it: something was put behind it."""
    where = (seat.c.project_id == project_id, seat.c.place > place)
    connection.execute(update(seat).where(*where).values(place=place, item_id=-1))


def order_of(seed: int, item_id: int, answers: int, turn: int) -> tuple[int, ...]:
    """Stored places in the order shown: a draw for each item, turned by one for each further rater.

    So each answer of a pair stands first for every second rater, and nobody can tell places from sources.
    """
    base = random.Random(f"{seed}/order/{item_id}").sample(range(answers), answers)
    turn %= max(1, answers)
    return tuple(base[turn:] + base[:turn])


def heartbeat(connection: Connection, assignment_id: int, rater_id: int, until: float) -> bool:
    """Make a running lease last until then. False: it ran out or was closed; an answer is kept all the same."""
    where = (assignment.c.id == assignment_id, assignment.c.rater_id == rater_id, assignment.c.state == "leased")
    return bool(connection.execute(update(assignment).where(*where).values(expires_at=until)).rowcount)


def put_aside(connection: Connection, assignment_id: int, rater_id: int, kind: str, text: str, now: float) -> None:
    """Skip or report an item: it goes to somebody else, and costs the rater nothing.

    kind: `skipped` or `reported`. InputError: it is not the rater's, or has an answer already.
    """
    found = own(connection, assignment_id, rater_id)
    if found.state == kind:
        return
    if found.state == "done":
        raise InputError("this item has your answer already; change the answer instead")
    values = {"state": kind, "slot": None, "closed_at": now}
    connection.execute(update(assignment).where(assignment.c.id == assignment_id).values(**values))
    connection.execute(delete(draft).where(draft.c.assignment_id == assignment_id))
    if text or kind == "reported":
        insert_one(connection, notice, assignment_id=assignment_id, kind=kind, text=text, at=now)
    if found.slot is not None:
        free_place(connection, found.item_id)


_OWN = Prepared(
    select(assignment)
    .where(assignment.c.id == bindparam("which"), assignment.c.rater_id == bindparam("who"))
    .with_for_update()
)


def own(connection: Connection, assignment_id: int, rater_id: int) -> AnyRow:
    """An assignment of this rater's. InputError: there is none of that number."""
    found = _OWN.first(connection, which=assignment_id, who=rater_id)
    if found is None:
        raise InputError("there is no such item among yours")
    return found


def mine(connection: Connection, project_id: int, rater_id: int, limit: int = 50) -> Sequence[AnyRow]:
    """What a rater did last, newest first: id, state, verdict, closed_at."""
    where = (assignment.c.rater_id == rater_id, assignment.c.project_id == project_id, assignment.c.part != DECISION)
    closed = assignment.c.state.in_(CLOSED)
    columns = (assignment.c.id, assignment.c.state, assignment.c.verdict, assignment.c.closed_at, assignment.c.late)
    query = select(*columns).where(*where, closed).order_by(assignment.c.closed_at.desc()).limit(limit)
    return connection.execute(query).all()


def waiting(connection: Connection, project_id: int) -> int:
    """Open items of the main queue, but for those that were found to wait for a decision."""
    where = (item.c.project_id == project_id, item.c.part == "main", item.c.open == true(), item.c.dispute != OPEN)
    return int(connection.execute(select(func.count()).select_from(item).where(*where)).scalar_one())
