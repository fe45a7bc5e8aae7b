"""Rows of a file become items. A bad row is named, the good ones go in, and running again adds what is missing.

What rows hold is `item_rows`'.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from heedful.data.faults import Fault
from heedful.data.rows import container_of
from heedful.errors import InputError
from heedful.feedback.draws import Draw
from heedful.feedback.fitting import NewItem, answered_of
from heedful.feedback.item_rows import read_items
from heedful.feedback.judgements import RANDOM
from heedful.feedback.leaks import leak_of
from heedful.feedback.projects import GIVEN, Project, rater_named, read_project
from heedful.feedback.queue import back_to, next_place, share_of
from heedful.feedback.sheet import in_stored_order, read_answered
from heedful.feedback.store import Store, insert_new, numbers_of
from heedful.feedback.submit import add_machine_label, label_of
from heedful.feedback.tables import assignment, completion, item, judgement, prompt
from heedful.records import Prompt, messages_to_rows, prompt_id

CHUNK = 2000  # plain items in one transaction, which is a tenth of a second: raters never wait long
LISTED = 100  # faults that are told
NAMESPACE = uuid.UUID("6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11")  # of the UUIDs of imported labels


@dataclass(frozen=True, slots=True)
class Keyed:
    """An item with what takes long to find out, and needs no transaction: what its texts are told apart by, and which
    of its answers name their writer."""

    new: NewItem
    prompt: str
    answers: tuple[str, ...]
    leaks: tuple[str, ...]  # the words of each answer by which it does; empty: none


@dataclass(slots=True)
class Imported:
    """What an import did. Rows are rows of the file; items are what raters see."""

    items: int = 0
    there_already: int = 0
    labels: int = 0
    nameless: int = 0  # judgements that were left out, as no rater is named
    leaks: int = 0  # answers that name their writer
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < LISTED:
            self.faults.append(str(fault))


def refuse_unreadable(path: Path) -> None:
    """InputError: there is no such file, or it is of no kind that heedful reads."""
    container_of(path)


def import_file(store: Store, project_id: int, path: Path, rater: str = "") -> Imported:
    """Add a file's items to a project, and the labels that come with them.

    rater: whose the judgements are of rows that name nobody; empty: such rows are answers to be judged.
    InputError: no such file, or none of a kind that heedful reads.
    """
    done = Imported()
    with store.read() as connection:
        of = read_project(connection, project_id)

    def sound() -> Iterator[NewItem]:
        for one in read_items(path, of.sheet, rater):
            if isinstance(one, Fault):
                done.fault(one)
            else:
                yield one

    return import_items(store, of, sound(), done)


def import_items(store: Store, of: Project, items: Iterable[NewItem], done: Imported) -> Imported:
    """Add items, a few hundred to a transaction; those that are there already stay as they are."""
    with store.write_soon() as connection:
        epoch = next_place(connection, of.id)
    for chunk in _chunks(items):
        with store.write_soon() as connection:
            add_items(connection, of, chunk, epoch, done)
    with store.write() as connection:
        next_place(connection, of.id)  # a change that waits for the disk, and with it all before it
    return done


def _chunks(items: Iterable[NewItem]) -> Iterator[list[Keyed]]:
    """As many as one transaction takes: fewer where texts are long, and where labels come with them, which take twenty
    times as long as an item."""
    chunk: list[Keyed] = []
    size = 0
    for new in items:
        chunk.append(keyed(new))
        size += (20 if new.label else 1) + sum(map(len, new.answers)) // 4000
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# ── items to tables ─────────────────────────────────────────────────────────────────────────────────────────────────
def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def keyed(new: NewItem) -> Keyed:
    leaks = tuple(map(leak_of, new.answers, new.sources))
    return Keyed(new, prompt_id(new.prompt.messages), _answer_keys(new), leaks)


def _answer_keys(new: NewItem) -> tuple[str, ...]:
    return tuple(completion_key(source, text) for text, source in zip(new.answers, new.sources, strict=True))


def add_items(connection: Connection, of: Project, chunk: Sequence[Keyed], epoch: int, done: Imported) -> None:
    prompts = _add_prompts(connection, of, chunk)
    completions = _add_completions(connection, chunk, prompts, done)
    items: dict[str, dict[str, Any]] = {}
    labelled = []  # several raters may have judged one item
    for one in chunk:
        owner = prompts[one.prompt]
        row = _item_row(of, one.new, owner, [completions[owner, key] for key in one.answers], epoch)
        items.setdefault(row["key"], row)
        labelled += [(row["key"], one.new)] if one.new.label else []
    added = insert_new(connection, item, list(items.values()))
    if added:
        back_to(connection, of.id, min(row["place"] for row in items.values()))
    done.items += added
    done.there_already += len(chunk) - added
    done.nameless += sum(one.new.nameless for one in chunk)
    _keep_labels(connection, of, labelled, done)


def _add_prompts(connection: Connection, of: Project, chunk: Sequence[Keyed]) -> dict[str, int]:
    """The numbers of all prompts of the chunk, by key. One that comes again keeps the first row's name and columns."""
    prompts: dict[str, Prompt] = {}
    for one in chunk:
        prompts.setdefault(one.prompt, one.new.prompt)
    rows = [_prompt_row(of, key, new) for key, new in prompts.items()]
    if numbers := numbers_of(connection, prompt, insert_new(connection, prompt, rows), len(rows)):
        return dict(zip(prompts, numbers, strict=True))
    query = select(prompt.c.key, prompt.c.id).where(prompt.c.project_id == of.id, prompt.c.key.in_(prompts))
    return dict(connection.execute(query).all())


def _add_completions(
    connection: Connection, chunk: Sequence[Keyed], prompts: Mapping[str, int], done: Imported
) -> dict[tuple[int, str], int]:
    """The numbers of all answers to the chunk's prompts, by the prompt's number and the answer's key."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for one in chunk:
        owner, new = prompts[one.prompt], one.new
        for key, text, source, leak in zip(one.answers, new.answers, new.sources, one.leaks, strict=True):
            rows[owner, key] = {"prompt_id": owner, "key": key, "text": text, "source": source, "leak": leak}
    done.leaks += sum(bool(row["leak"]) for row in rows.values())
    added = insert_new(connection, completion, list(rows.values()))
    if numbers := numbers_of(connection, completion, added, len(rows)):
        return dict(zip(rows, numbers, strict=True))
    query = select(completion.c.prompt_id, completion.c.key, completion.c.id)
    found = connection.execute(query.where(completion.c.prompt_id.in_(set(prompts.values()))))
    return {(owner, key): number for owner, key, number in found.all()}


def completion_key(source: str, text: str) -> str:
    """A completion is its text and who wrote it: two models may say the same, and each keeps its own."""
    return _hash(source, text)


def _prompt_row(of: Project, key: str, one: Prompt) -> dict[str, Any]:
    messages = messages_to_rows(one.messages)
    meta = json.loads(json.dumps(dict(one.meta), default=str)) if one.meta else {}
    return {"project_id": of.id, "key": key, "name": one.id[:120] or key, "messages": messages, "meta": meta}


def _item_row(of: Project, new: NewItem, owner: int, completions: list[int], epoch: int) -> dict[str, Any]:
    """The item's key hangs on what is compared, in whatever order the file has it."""
    key = _key(new, owner, completions)
    shared = bool(of.queue.shared) and share_of(of.seed, "shared", key) < of.queue.shared
    target = max(of.queue.overlap, of.queue.shared_overlap if shared else 1)
    return {
        "project_id": of.id,
        "prompt_id": owner,
        "key": key,
        "part": new.part,
        "open": True,
        "target": {"main": target, "chat": 1}.get(new.part, 0),
        "taken": 0,
        "done": 0,
        "place": epoch + share_of(of.seed, "place", key) - 1e6 * new.priority,
        "chosen_by": GIVEN if new.priority else RANDOM,
        "completions": completions,
        "expected": new.expected.model_dump(mode="json", exclude_defaults=True) if new.expected else {},
        "explanation": new.explanation,
        "skill": new.skill,
        "scores": [list(scores) for scores in new.scores],
    }


def _key(new: NewItem, owner: int, completions: Sequence[int]) -> str:
    return _hash(new.part, new.salt, str(owner), *map(str, sorted(completions)))


def item_key(connection: Connection, of: Project, new: NewItem) -> str:
    """The key of an item that is there."""
    owner = connection.execute(
        select(prompt.c.id).where(prompt.c.project_id == of.id, prompt.c.key == prompt_id(new.prompt.messages))
    ).scalar_one()
    query = select(completion.c.id).where(completion.c.prompt_id == owner, completion.c.key.in_(_answer_keys(new)))
    return _key(new, owner, list(connection.execute(query).scalars()))


def _keep_labels(connection: Connection, of: Project, labelled: Sequence[tuple[str, NewItem]], done: Imported) -> None:
    """Judgements that came with the rows, under their raters' names; one that the sheet can't hold is named."""
    for key, new in labelled:
        try:
            done.labels += _keep_label(connection, of, key, new)
        except InputError as error:
            mend = "the item is in without it; mend the row and import it again, or give the project another sheet"
            done.fault(Fault(new.where, "", f"a label that can't be kept ({error})", "one that fits", mend))


def _keep_label(connection: Connection, of: Project, key: str, new: NewItem) -> bool:
    """False: it was here before. InputError: the sheet can't hold it, or its rater has said something else before."""
    assert new.label is not None
    label, where = new.label, (item.c.project_id == of.id, item.c.key == key)
    row = connection.execute(select(item.c.id, item.c.completions).where(*where)).one()
    query = select(completion.c.id, completion.c.text).where(completion.c.id.in_(row.completions))
    texts = {one.id: one.text for one in connection.execute(query)}
    stored = tuple(new.answers.index(texts[number]) for number in row.completions)
    inverse = tuple(stored.index(place) for place in range(len(stored)))
    answered = in_stored_order(answered_of(label, of.sheet), inverse)
    rater_id = rater_named(connection, label.rater_kind, label.rater)
    added = add_machine_label(
        connection, of, row.id, rater_id, answered, str(uuid.uuid5(NAMESPACE, f"{of.id}/{row.id}/{rater_id}")),
        label.at or time.time(),
        shown=[inverse[place] for place in label.shown],
        weight=label.weight,
        draws=[_draw(draw, inverse) for draw in label.draws],
        seconds=label.seconds,
        late=label.late,
    )  # fmt: skip
    if not added and (before := _said_before(connection, row.id, rater_id)) != label_of(answered):
        raise InputError(f"{label.rater} has said '{before}' of these answers before, which stands")
    return added


def _draw(draw: Mapping[str, Any], inverse: tuple[int, ...]) -> Draw:
    value = in_stored_order(read_answered(draw["value"]), inverse)
    return Draw(value, tuple(inverse[place] for place in draw["shown"]))


def _said_before(connection: Connection, item_id: int, rater_id: int) -> str:
    """What a rater's label of an item says, in a word."""
    query = select(judgement.c.value).join(assignment, assignment.c.judgement_id == judgement.c.id)
    where = (assignment.c.item_id == item_id, assignment.c.rater_id == rater_id)
    value = connection.execute(query.where(*where)).scalar()
    return label_of(read_answered(value)) if value is not None else "nothing"
