"""Rows of a file become items. A bad row is named, the good ones go in, and running again adds what is missing.

Read are rankings and preferences in every format that heedful knows; answers in rows of their own (`prompt`,
`completion`), which are put together by prompt; and rows that hold all answers to a prompt, as `prompt`, `response_a`,
`response_b`, … (JSONL or CSV) or `prompt`, `completions`. Beside its format's columns a row may hold:

    part         `gold` (a hidden check), `training`, or `probe` (comes again and again); the row's own order is then
                 the right answer, which a probe may do without
    explanation  what a rater is told after a training item
    priority     a whole number; higher comes sooner
    skill        goes only to raters that carry it, as `python` or `french`
    scores       of reward models: a list for each answer, one number for each model

Every other column is kept with the prompt; of these the studio's pages read `warning` and `lang`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from heedful.data.candidates import Candidates, gather
from heedful.data.convert import to_completion, to_ranking
from heedful.data.faults import Fault, RowFault, describe
from heedful.data.fields import choice, list_of
from heedful.data.formats import PREFERENCES, Format, columns_of
from heedful.data.sources import COMPLETIONS, located
from heedful.errors import InputError
from heedful.feedback.fitting import NewItem, answered_of, fitting
from heedful.feedback.foreign import Foreign, recognise_foreign
from heedful.feedback.leaks import leak_of
from heedful.feedback.projects import Project, rater_named, read_project, skill_named
from heedful.feedback.queue import back_to, next_place, share_of
from heedful.feedback.sheet import Sheet, in_stored_order
from heedful.feedback.store import Store, insert_new
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import completion, item, prompt
from heedful.records import Completion, Message, Prompt, Ranking, Row, messages_to_rows, prompt_id

CHUNK = 500  # items in one transaction, so that raters never wait long
LISTED = 100  # faults that are told
OWN = ("part", "explanation", "priority", "skill", "scores")
NAMESPACE = uuid.UUID("6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11")  # of the UUIDs of imported labels


@dataclass(slots=True)
class Imported:
    """What an import did. Rows are rows of the file; items are what raters see."""

    items: int = 0
    there_already: int = 0
    labels: int = 0
    leaks: int = 0  # answers that name their writer
    fault_count: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < LISTED:
            self.faults.append(str(fault))


def import_file(store: Store, project_id: int, path: Path) -> Imported:
    """Add a file's items to a project. InputError: no such file, or none of a kind that heedful reads."""
    done = Imported()
    with store.read() as connection:
        of = read_project(connection, project_id)
    return import_items(store, of, _items(path, of.sheet, done), done)


def import_items(store: Store, of: Project, items: Iterable[NewItem], done: Imported) -> Imported:
    """Add items, a few hundred to a transaction; those that are there already stay as they are."""
    with store.write() as connection:
        epoch = next_place(connection, of.id)
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        with store.write() as connection:
            add_items(connection, of, chunk, epoch, done)
    return done


# ── rows to items ───────────────────────────────────────────────────────────────────────────────────────────────────
def _items(path: Path, sheet: Sheet, done: Imported) -> Iterator[NewItem]:
    candidates: list[Completion] = []
    rows = _csv(path) if path.suffix.lower() == ".csv" else _responses_or_known(path)
    for one in rows:
        if isinstance(one, Fault):
            done.fault(one)
            continue
        where, row, kind = one
        try:
            match kind:
                case None:
                    _refuse_judged(row)
                    new = _from_responses(row)
                    yield from _placed(new, sheet, where, done)
                case _ if kind in COMPLETIONS:
                    candidates.append(to_completion(row, kind))
                case _ if kind is Format.RANKING or kind in PREFERENCES:
                    yield from _placed(_from_ranking(to_ranking(row, kind)), sheet, where, done)
                case _:
                    mend = "write prompt, response_a, response_b; or prompt, completion, a row for each answer"
                    raise RowFault("", f"a row of {kind.value}", "answers to compare", mend)
        except RowFault as fault:
            done.fault(fault.at(where))
    for gathered in gather(candidates):
        where = f"{path}, prompt {gathered.prompt.id}"
        try:
            yield from _placed(_from_candidates(gathered), sheet, where, done)
        except RowFault as fault:
            done.fault(fault.at(where))


def _placed(new: NewItem, sheet: Sheet, where: str, done: Imported) -> Iterator[NewItem]:
    if new.label and new.label.rater and new.part == "main" and sheet.compare == "none":
        done.fault(Fault(where, "", "a comparison", "none: the sheet compares nothing", "its answers go in without it"))
    yield from (replace(one, where=where) for one in fitting(new, sheet))


Placed = tuple[str, dict[str, Any], Format | None]


def _csv(path: Path) -> Iterator[Placed | Fault]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    yield Fault(
                        where, "", "another number of fields than the heading has", "one for each", "mend the row"
                    )
                else:
                    yield where, {key: value for key, value in row.items() if value}, None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file in UTF-8 ({error})") from None


def _responses_or_known(path: Path) -> Iterator[Placed | Fault]:
    for one in located(path):
        if isinstance(one, Fault):
            yield one
        else:
            where, row, kind = one
            there = columns_of(row)
            whole = "response_a" in there or (kind is Format.PROMPT and "completions" in there)
            yield where, row, None if whole else kind


def _from_responses(given: Row) -> NewItem:
    """`prompt`, `response_a`, `response_b`, … and, where it is known, `source_a`, …; or lists of them."""
    row = {key: value for key, value in given.items() if value is not None}  # Parquet fills what a row lacks
    text = row.get("prompt")
    if isinstance(text, str) and text.strip():
        messages: tuple[Message, ...] = (Message("user", text),)
    elif isinstance(text, list) and text and all(isinstance(m, dict) and {"role", "content"} <= set(m) for m in text):
        messages = tuple(Message(str(m["role"]), str(m["content"])) for m in text)
    else:
        raise RowFault("prompt", describe(text), "a text, or messages", "write the prompt")
    answers, sources, own = _lettered(row) if "response_a" in row or "completions" not in row else _listed(row)
    extra = {key: value for key, value in row.items() if key not in {"prompt", "id"} | own}
    found = Prompt(id=str(row.get("id") or prompt_id(messages)), messages=messages, meta=extra)
    return _with_extras(NewItem(prompt=found, answers=answers, sources=sources), None)


def _refuse_judged(row: Row) -> None:
    """RowFault: a row of the raw log, whose label would be lost here."""
    if recognise_foreign(row) is Foreign.RAW:
        mend = "make rankings of it first: heedful export LOG --format rankings --out FOLDER"
        raise RowFault("", f"a row of {Foreign.RAW.value}", "answers to compare", mend)


Answers = tuple[tuple[str, ...], tuple[str, ...], set[str]]  # texts, who wrote each, and the columns that hold them


def _lettered(row: Row) -> Answers:
    letters = [key.removeprefix("response_") for key in row if key.startswith("response_")]
    if not letters:
        raise RowFault("response_a", "no such field", "an answer", "name the columns prompt, response_a, response_b")
    for letter in letters:
        if not isinstance(row[f"response_{letter}"], str):
            raise RowFault(f"response_{letter}", describe(row[f"response_{letter}"]), "a text", "write the answer")
    own = {f"{name}_{letter}" for name in ("response", "source") for letter in letters}
    answers = tuple(str(row[f"response_{letter}"]) for letter in letters)
    return answers, tuple(str(row.get(f"source_{letter}") or "given") for letter in letters), own


def _listed(row: Row) -> Answers:
    answers, sources = list_of(row, "completions", str), list_of(row, "sources", str)
    if len(sources) not in (0, len(answers)):
        raise RowFault("sources", f"{len(sources)} of them", f"one for each of {len(answers)} answers", "mend the list")
    return tuple(answers), tuple(sources) or ("given",) * len(answers), {"completions", "sources"}


def _from_ranking(ranking: Ranking) -> NewItem:
    sources = ranking.sources or ("given",) * len(ranking.completions)
    new = NewItem(prompt=ranking.prompt, answers=ranking.completions, sources=sources)
    return _with_extras(new, ranking)


def _from_candidates(gathered: Candidates) -> NewItem:
    new = NewItem(prompt=gathered.prompt, answers=gathered.texts, sources=gathered.sources)
    return _with_extras(new, None)


def _with_extras(new: NewItem, ranking: Ranking | None) -> NewItem:
    """The columns of this module, taken out of the prompt's metadata where the readers put what they don't know."""
    meta = dict(new.prompt.meta)
    own = {name: meta.pop(name) for name in OWN if name in meta}
    part = choice(own, "part", ("main", "gold", "training", "probe"), "main")
    if part in ("gold", "training") and ranking is None:
        raise RowFault("part", f"'{part}'", "an order of the answers beside it", "give chosen and rejected, or ranks")
    priority = own.get("priority", 0)
    if isinstance(priority, bool) or not str(priority).lstrip("-").isdigit() or abs(int(priority)) > 1000:
        raise RowFault("priority", describe(priority), "a whole number up to 1000", "write one or leave it out")
    return NewItem(
        prompt=Prompt(id=new.prompt.id, messages=new.prompt.messages, meta=meta),
        answers=new.answers,
        sources=new.sources,
        part=part,
        explanation=str(own.get("explanation") or ""),
        priority=int(priority),
        skill=_skill(own.get("skill")),
        scores=_scores(own.get("scores"), len(new.answers)),
        label=ranking if ranking and (part != "main" or ranking.rater) else None,
    )


def _skill(value: Any) -> str:
    try:
        return skill_named(str(value)) if value else ""
    except InputError:
        raise RowFault(
            "skill", describe(value), "up to 40 letters from a to z, digits, spaces and hyphens", "mend it"
        ) from None


def _scores(value: Any, answers: int) -> tuple[tuple[float, ...], ...]:
    if value is None:
        return ()
    lists = value if isinstance(value, list) else []
    try:
        scores = tuple(tuple(float(score) for score in one) for one in lists)
    except (TypeError, ValueError):
        scores = ()
    if len(scores) != answers or len({len(one) for one in scores}) != 1 or not scores[0]:
        raise RowFault("scores", describe(value), f"{answers} lists of equally many numbers", "mend or leave it out")
    return scores


# ── items to tables ─────────────────────────────────────────────────────────────────────────────────────────────────
def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def add_items(connection: Connection, of: Project, chunk: Sequence[NewItem], epoch: int, done: Imported) -> None:
    prompts = {_prompt_key(new.prompt): new.prompt for new in chunk}
    insert_new(connection, prompt, [_prompt_row(of, key, one) for key, one in prompts.items()])
    query = select(prompt.c.key, prompt.c.id).where(prompt.c.project_id == of.id, prompt.c.key.in_(prompts))
    ids = {row.key: row.id for row in connection.execute(query)}
    written = {(ids[_prompt_key(new.prompt)], *one) for new in chunk for one in _written(new)}
    rows = [
        {"prompt_id": owner, "key": completion_key(source, text), "text": text, "source": source}
        | {"leak": leak_of(text, source)}
        for owner, text, source in sorted(written)
    ]
    done.leaks += sum(bool(row["leak"]) for row in rows)
    insert_new(connection, completion, rows)
    query_2 = select(completion.c.prompt_id, completion.c.key, completion.c.id).where(
        completion.c.prompt_id.in_(set(ids.values()))
    )
    known = {(owner, key): number for owner, key, number in connection.execute(query_2)}
    items = {}
    for new in chunk:
        owner = ids[_prompt_key(new.prompt)]
        row = _item_row(of, new, owner, [known[owner, key] for key in _completion_keys(new)], epoch)
        items[row["key"]] = (row, new)
    there = _there(connection, of, items)
    insert_new(connection, item, [row for key, (row, _) in items.items() if key not in there])
    done.items += len(items) - len(there)
    done.there_already += len(there) + len(chunk) - len(items)
    if lowest := [row["place"] for key, (row, _) in items.items() if key not in there]:
        back_to(connection, of.id, min(lowest))
    _keep_labels(connection, of, [(key, new) for key, (_, new) in items.items() if new.label], done)


def _written(new: NewItem) -> Iterator[tuple[str, str]]:
    return zip(new.answers, new.sources, strict=True)


def completion_key(source: str, text: str) -> str:
    """A completion is its text and who wrote it: two models may say the same, and each keeps its own."""
    return _hash(source, text)


def _completion_keys(new: NewItem) -> Iterator[str]:
    return (completion_key(source, text) for text, source in _written(new))


def _prompt_key(one: Prompt) -> str:
    return prompt_id(one.messages)


def _prompt_row(of: Project, key: str, one: Prompt) -> dict[str, Any]:
    messages, meta = messages_to_rows(one.messages), json.loads(json.dumps(dict(one.meta), default=str))
    return {"project_id": of.id, "key": key, "name": one.id[:120], "messages": messages, "meta": meta}


def _item_row(of: Project, new: NewItem, owner: int, completions: list[int], epoch: int) -> dict[str, Any]:
    """The item's key hangs on what is compared, in whatever order the file has it."""
    key = _key(new, owner, completions)
    shared = share_of(of.seed, "shared", key) < of.queue.shared
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
        "chosen_by": "given" if new.priority else "random",
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
        select(prompt.c.id).where(prompt.c.project_id == of.id, prompt.c.key == _prompt_key(new.prompt))
    ).scalar_one()
    query = select(completion.c.id).where(
        completion.c.prompt_id == owner, completion.c.key.in_(list(_completion_keys(new)))
    )
    return _key(new, owner, list(connection.execute(query).scalars()))


def _there(connection: Connection, of: Project, keys: Mapping[str, Any]) -> set[str]:
    query = select(item.c.key).where(item.c.project_id == of.id, item.c.key.in_(keys))
    return set(connection.execute(query).scalars())


def _keep_labels(connection: Connection, of: Project, labelled: Sequence[tuple[str, NewItem]], done: Imported) -> None:
    """Judgements that came with the rows, under their raters' names; one that the sheet can't hold is named."""
    for key, new in labelled:
        try:
            done.labels += _keep_label(connection, of, key, new)
        except InputError as error:
            mend = "the item is in without it; mend the row and import it again, or give the project another sheet"
            done.fault(Fault(new.where, "", f"a label that can't be kept ({error})", "one that fits", mend))


def _keep_label(connection: Connection, of: Project, key: str, new: NewItem) -> bool:
    assert new.label is not None
    where = (item.c.project_id == of.id, item.c.key == key)
    row = connection.execute(select(item.c.id, item.c.completions).where(*where)).one()
    query = select(completion.c.id, completion.c.text).where(completion.c.id.in_(row.completions))
    texts = {one.id: one.text for one in connection.execute(query)}
    stored = tuple(new.answers.index(texts[number]) for number in row.completions)
    inverse = tuple(stored.index(place) for place in range(len(stored)))
    answered = in_stored_order(answered_of(new.label, of.sheet), inverse)
    rater_id = rater_named(connection, new.label.rater_kind, new.label.rater)
    client_uuid = str(uuid.uuid5(NAMESPACE, f"{of.id}/{row.id}/{rater_id}"))
    weight = new.label.weight
    return add_machine_label(connection, of, row.id, rater_id, answered, client_uuid, time.time(), weight=weight)
