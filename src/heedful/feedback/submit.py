"""Taking an answer: exactly once for each client UUID, never over an earlier one, and late rather than not at all."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from heedful.errors import InputError
from heedful.feedback.draws import Draw, one_label
from heedful.feedback.judgements import DECISION
from heedful.feedback.prepared import AnyRow, Prepared, insert_one
from heedful.feedback.projects import Project
from heedful.feedback.queue import own, share_of, take_place, to_the_end
from heedful.feedback.sheet import Answered, check, in_shown_order, in_stored_order, read_answered, steps_of
from heedful.feedback.tables import (
    OVER,
    UNSAID,
    appeal,
    assignment,
    completion,
    conversation,
    draft,
    item,
    judgement,
    rater,
    turn,
)

SETTLED = 0.75  # share of raters that must say one thing; two of three are asked to become five


class Reused(InputError):
    """One client UUID came with two different answers."""


class TooLate(InputError):
    """The time in which an answer may be given or changed is over."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of an answer. `feedback` is given for training items alone."""

    judgement: int
    revision: int
    repeated: bool  # this very submission was here before
    late: bool
    feedback: Mapping[str, Any]


_ITEM = Prepared(select(item).where(item.c.id == bindparam("which")).with_for_update())
_SAME = Prepared(select(judgement).where(judgement.c.client_uuid == bindparam("uuid")))
_REVISIONS = Prepared(
    select(func.max(judgement.c.revision).label("last"), func.min(judgement.c.created_at).label("first")).where(
        judgement.c.assignment_id == bindparam("which")
    )
)
_CLOSED = ("state", "slot", "shown", "late", "judgement_id", "closed_at", "verdict", "choice", "agrees")
_CLOSE = Prepared(
    update(assignment)
    .where(assignment.c.id == bindparam("which"))
    .values({name: bindparam(f"new_{name}") for name in _CLOSED})
)
_LABELLED = Prepared(
    update(item)
    .where(item.c.id == bindparam("which"))
    .values(
        done=item.c.done + bindparam("more"),
        dispute=case({over: over for over in OVER}, value=item.c.dispute, else_=""),
    )
)
_NO_DRAFT = Prepared(delete(draft).where(draft.c.assignment_id == bindparam("which")))


def submit(
    connection: Connection,
    of: Project,
    assignment_id: int,
    rater_id: int,
    *,
    client_uuid: str,
    value: Mapping[str, Any],
    seconds: float,
    now: float,
) -> Submitted:
    """Add a judgement of the answers as they were shown to this rater.

    InputError: not this rater's item, or not what the sheet asks. Reused, TooLate: see there.
    """
    digest = _digest(assignment_id, value)
    held = own(connection, assignment_id, rater_id)
    if earlier := _earlier(connection, client_uuid, digest):
        return Submitted(earlier.id, earlier.revision, True, held.late, _feedback(connection, held, of))
    if held.part == "chat" and held.state != "leased":  # a turn that still waits for its judgement is the last
        _refuse_what_was_gone_on_from(connection, assignment_id)
    row = _item(connection, held.item_id)
    shown = order_seen(held.shown, len(row.completions))
    answered = read_answered(value)
    check(answered, of.sheet, len(shown), _steps(connection, of, row))
    stored = in_stored_order(answered, shown)
    revision = _revision(connection, of, held, now)
    key = insert_one(
        connection,
        judgement,
        assignment_id=assignment_id,
        revision=revision,
        client_uuid=client_uuid,
        digest=digest,
        value=_compact(stored),
        seconds=seconds,
        created_at=now,
    )
    late = _close(connection, held, row, key, answered, shown, now)
    _NO_DRAFT.change(connection, which=assignment_id)
    if held.part == "main":
        ask_more(connection, of, held.item_id)
    return Submitted(key, revision, False, late, _feedback(connection, held, of))


def _refuse_what_was_gone_on_from(connection: Connection, assignment_id: int) -> None:
    """TooLate: something was said in the chat after this turn, and was answered in the light of what it was."""
    of_turn = select(turn.c.conversation_id, turn.c.number).where(turn.c.assignment_id == assignment_id)
    held = connection.execute(of_turn).first()
    if held is None:  # answers in whose place others were asked for
        return
    chat = select(conversation.c.id).where(conversation.c.id == held.conversation_id)
    connection.execute(chat.with_for_update())  # so that nothing is said meanwhile
    later = (
        select(turn.c.id)
        .join(assignment, assignment.c.id == turn.c.assignment_id)
        .where(turn.c.conversation_id == held.conversation_id, turn.c.number > held.number)
        .where(assignment.c.state.not_in(UNSAID))
    )
    if connection.execute(later.limit(1)).first():
        raise TooLate("a choice can be changed until something is said after it; this one stands")


def _item(connection: Connection, item_id: int) -> AnyRow:
    found = _ITEM.first(connection, which=item_id)
    assert found is not None
    return found


def _digest(assignment_id: int, value: Mapping[str, Any]) -> str:
    text = json.dumps([assignment_id, value], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _earlier(connection: Connection, client_uuid: str, digest: str) -> AnyRow | None:
    found = _SAME.first(connection, uuid=client_uuid)
    if found and found.digest != digest:
        raise Reused("this submission's id was used for another answer; nothing was changed")
    return found


def _steps(connection: Connection, of: Project, row: AnyRow) -> int:
    if not of.sheet.steps:
        return 0
    text = connection.execute(select(completion.c.text).where(completion.c.id == row.completions[0])).scalar_one()
    return len(steps_of(text))


def _revision(connection: Connection, of: Project, held: AnyRow, now: float) -> int:
    so_far = _REVISIONS.first(connection, which=held.id)
    assert so_far is not None  # a count, that is
    if so_far.last is None:
        return 1
    if now > so_far.first + 3600 * of.queue.revise_hours:
        raise TooLate(f"an answer may be changed for {of.queue.revise_hours:g} hours; the first answer stands")
    return int(so_far.last) + 1


def _compact(answered: Answered) -> dict[str, Any]:
    """What was said, without the fields that say nothing."""
    return answered.model_dump(mode="json", exclude_defaults=True)


def order_seen(shown: Sequence[int], answers: int) -> tuple[int, ...]:
    """Stored places in the order shown. Whoever opens a label of theirs that was imported sees the stored order."""
    return tuple(shown) or tuple(range(answers))


def _close(
    connection: Connection,
    held: AnyRow,
    row: AnyRow,
    key: int,
    answered: Answered,
    shown: tuple[int, ...],
    now: float,
) -> bool:
    """Point the assignment to its newest judgement; an answer after the lease ran out takes a place if one is free."""
    again = held.state == "done"
    late = held.late if again else held.state == "expired" or (held.state == "leased" and held.expires_at < now)
    slot = held.slot if again or held.state == "leased" else take_place(connection, held.item_id, row.target)
    stored = in_stored_order(answered, shown)
    new = {
        "state": "done",
        "slot": slot,
        "shown": list(shown),
        "late": late,
        "judgement_id": key,
        "closed_at": held.closed_at if again else now,
        "verdict": verdict_of(answered),
        "choice": _choice(answered),
        "agrees": held.agrees if again and held.part == "training" else _agrees(connection, held, row, stored),
    }
    _CLOSE.change(connection, which=held.id, **{f"new_{name}": value for name, value in new.items()})
    if held.part != DECISION:
        _LABELLED.change(connection, which=held.item_id, more=int(not again))
    return bool(late)


_APPEALED = select(appeal.c.id).where(appeal.c.assignment_id == bindparam("which"), appeal.c.outcome != "stands")


def _agrees(connection: Connection, held: AnyRow, row: AnyRow, stored: Answered) -> int:
    """As `agreement_with`; -1 too while its rater says that the item is wrong, though the answer be changed."""
    if held.state == "done" and connection.execute(_APPEALED, {"which": held.id}).first():
        return -1
    return agreement_with(row.expected, stored)


def agreement_with(expected: Mapping[str, Any], stored: Answered) -> int:
    """Whether a judgement says what a gold or training item's answer says: 1 or 0; -1 where the item has none."""
    return int(label_of(stored) == label_of(read_answered(expected))) if expected else -1


def verdict_of(answered: Answered) -> str:
    return "ranked" if answered.ranks and answered.verdict == "none" else str(answered.verdict)


def _choice(answered: Answered) -> int:
    """The place, as shown, of what was preferred; -1 where nothing or more than one was."""
    if answered.verdict == "prefer":
        return answered.preferred
    return answered.ranks.index(0) if answered.ranks.count(0) == 1 else -1


def _feedback(connection: Connection, held: AnyRow, of: Project) -> Mapping[str, Any]:
    if held.part != "training":
        return {}
    query = select(item.c.expected, item.c.explanation, judgement.c.value).join_from(item, assignment)
    query = query.join(judgement, judgement.c.id == assignment.c.judgement_id)
    row = connection.execute(query.where(assignment.c.id == held.id)).one()
    if not row.expected:  # an appeal has shown that it was wrong
        return {}
    expected = read_answered(row.expected)
    return {
        "agrees": label_of(read_answered(row.value)) == label_of(expected),
        "expected": _compact(in_shown_order(expected, tuple(held.shown))),
        "explanation": row.explanation,
    }


def label_of(answered: Answered) -> str:
    """A judgement in a word, for telling whether two raters say the same: strength and reasons are left out."""
    if answered.verdict == "cant_judge":
        return "cant_judge"
    if answered.verdict == "prefer":
        return f"prefer {answered.preferred}"
    if answered.verdict != "none":
        return "tie"
    if answered.ranks:
        return f"best {[place for place, rank in enumerate(answered.ranks) if rank == 0]}"
    if answered.steps:
        wrong = [number for number, label in enumerate(answered.steps) if label == "wrong"]
        return f"first wrong step {wrong[0] if wrong else 'none'}"
    return f"ratings {[sorted(ratings.items()) for ratings in answered.ratings]}"


def ask_more(connection: Connection, of: Project, item_id: int) -> None:
    """Two more raters for an item that has all it should and on which they disagree (1 → 3 → 5)."""
    row = _item(connection, item_id)
    if row.done < row.target or row.target >= of.queue.overlap_most or row.dispute in OVER:
        return
    people, machines = labels_on(connection, item_id)
    if settled(people, machines):
        return
    connection.execute(
        update(item).where(item.c.id == item_id).values(target=min(row.target + 2, of.queue.overlap_most))
    )
    to_the_end(connection, item_id)


def labels_on(connection: Connection, item_id: int) -> tuple[list[str], list[str]]:
    """What people and what machines say of an item, in a word each."""
    query = (
        select(judgement.c.value, rater.c.kind)
        .join(assignment, assignment.c.judgement_id == judgement.c.id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .where(assignment.c.item_id == item_id, assignment.c.part != DECISION)
    )
    said = [(label_of(read_answered(row.value)), row.kind) for row in connection.execute(query)]
    return [label for label, kind in said if kind == "human"], [label for label, kind in said if kind != "human"]


def settled(people: Sequence[str], machines: Sequence[str]) -> bool:
    """Whether people agree well enough. One person alone is believed unless a machine says otherwise."""
    if not people:
        return False
    leading, votes = Counter(people).most_common(1)[0]
    if len(people) == 1:
        return all(label == leading for label in machines)
    return votes / len(people) >= SETTLED


def add_machine_label(
    connection: Connection,
    of: Project,
    item_id: int,
    rater_id: int,
    answered: Answered,
    client_uuid: str,
    now: float,
    shown: Sequence[int] = (),
    weight: float = 1.0,
    draws: Sequence[Draw] = (),
    seconds: float = 0.0,
    late: bool = False,
) -> bool:
    """A label by an AI judge, a simulated rater or an earlier study, in stored order. It takes no person's place.

    shown: stored places in the order in which the rater saw the answers; empty where that isn't known, and then no
    place is counted. draws: what was said each time that it was asked, of which `answered` was made.
    False: this rater's label was here before and stays. InputError: it is not what the sheet asks. Reused: see there.
    """
    row = _item(connection, item_id)
    check(answered, _without_reason(of), len(row.completions), _steps(connection, of, row))
    where = (assignment.c.item_id == item_id, assignment.c.rater_id == rater_id)
    if connection.execute(select(assignment.c.id).where(*where)).first():
        return False
    if shown and sorted(shown) != list(range(len(row.completions))):
        raise InputError(f"shown: give each place from 0 to {len(row.completions) - 1} once, or leave it out")
    if _SAME.first(connection, uuid=client_uuid):
        raise Reused("this label's client_uuid was used for another one; draw a new one for each label")
    held = insert_one(
        connection, assignment, project_id=of.id, item_id=item_id, rater_id=rater_id, slot=None, part=row.part,
        shown=list(shown), state="done", late=late, leased_at=now, expires_at=now, closed_at=now, judgement_id=None,
        choice=_choice(in_shown_order(answered, tuple(shown))) if shown else -1, verdict=verdict_of(answered),
        agrees=-1,
    )  # fmt: skip
    digest = _digest(held, _compact(answered))
    key = insert_one(
        connection, judgement, assignment_id=held, revision=1, client_uuid=client_uuid, digest=digest,
        value=_compact(answered), seconds=seconds, created_at=now, weight=weight,
        draws=[{"value": _compact(draw.value), "shown": list(draw.shown)} for draw in draws],
    )  # fmt: skip
    connection.execute(update(assignment).where(assignment.c.id == held).values(judgement_id=key))
    _LABELLED.change(connection, which=item_id, more=0)
    if row.part == "main" and share_of(of.seed, "audit", item_id) >= of.queue.audit_at_once and not row.taken:
        connection.execute(update(item).where(item.c.id == item_id).values(open=False))
    if row.part == "main" and row.done:
        ask_more(connection, of, item_id)
    return True


def label_of_draws(connection: Connection, of: Project, item_id: int, draws: Sequence[Draw]) -> Answered:
    """The label that a judge's draws make. InputError: one is not what the sheet asks, or tells no order."""
    row = _item(connection, item_id)
    places, steps = list(range(len(row.completions))), _steps(connection, of, row)
    for draw in draws:
        if sorted(draw.shown) != places:
            raise InputError("draws: 'shown' needs each stored place once, in every draw")
        check(draw.value, _without_reason(of), len(places), steps)
    return one_label(draws, of.sheet)


def _without_reason(of: Project) -> Any:
    """Machines need give no reason and edit nothing."""
    return of.sheet.model_copy(update={"reason": "optional", "edit": "optional" if of.sheet.edit != "off" else "off"})


def save_draft(connection: Connection, assignment_id: int, rater_id: int, value: Mapping[str, Any], now: float) -> None:
    """Keep what a rater has filled in so far, as shown."""
    own(connection, assignment_id, rater_id)
    where = draft.c.assignment_id == assignment_id
    if not connection.execute(update(draft).where(where).values(value=dict(value), saved_at=now)).rowcount:
        connection.execute(draft.insert().values(assignment_id=assignment_id, value=dict(value), saved_at=now))
