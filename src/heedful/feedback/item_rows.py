"""Rows of a file as items to be: a prompt, its answers, and what the row says of them.

Read is every format that heedful knows: judgements in training's formats and in other tools'; answers in rows of their
own (`prompt`, `completion`), which are put together by prompt; and rows that hold all answers to a prompt, as `prompt`,
`response_a`, `response_b`, … (with or without a `winner`) or `prompt`, `completions`. Beside its format's columns a row
may hold:

    part         `gold` (a hidden check), `training`, or `probe` (comes again and again); the row's own order is then
                 the right answer, which a probe may do without
    explanation  what a rater is told after a training item
    priority     a whole number; higher comes sooner
    skill        goes only to raters that carry it, as `python` or `french`
    scores       of reward models: a list for each answer, one number for each model

Every other column of training's formats and of plain answers is kept with the prompt; of these the studio's pages read
`warning` and `lang`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heedful.data.candidates import Candidates, gather
from heedful.data.convert import to_completion, to_labelled
from heedful.data.faults import Fault, RowFault, describe
from heedful.data.fields import choice, list_of
from heedful.data.formats import Format
from heedful.data.sources import COMPLETIONS
from heedful.data.wanted import rankings_of
from heedful.errors import InputError
from heedful.feedback.fitting import NewItem, fitting
from heedful.feedback.foreign import Foreign
from heedful.feedback.imports import JUDGED, Kind, judgements_of, rows_of_any_kind
from heedful.feedback.judgements import DECISION, Judgement, from_ranking
from heedful.feedback.projects import skill_named
from heedful.feedback.sheet import Sheet
from heedful.records import Completion, Labelled, Message, Messages, Prompt, Row, prompt_id

OWN = frozenset(("part", "explanation", "priority", "skill", "scores"))
Said = tuple[str, Messages]  # a rater, and the prompt whose answers were labelled one by one
PLAIN: tuple[Kind, ...] = (Format.CANDIDATES, Foreign.SIDES)


def read_items(path: Path, sheet: Sheet, rater: str = "") -> Iterator[NewItem | Fault]:
    """A file's items in the shape that the sheet asks, with a fault in the place of each row that gives none.

    rater: whose the judgements are of rows that name nobody; empty: such rows are answers to be judged, without labels.
    Whoever judges the same answers again in one file is another one: `rater 2`, `rater 3`.
    """
    answers: list[Completion] = []
    labels: dict[Said, list[Labelled]] = {}
    nobody = _Nobody(rater)
    for one in rows_of_any_kind(path):
        if isinstance(one, Fault):
            yield one
            continue
        where, row, kind = one
        alone = kind is Format.UNPAIRED and sheet.compare == "none"  # its own label is what the sheet asks for
        try:
            if isinstance(kind, Format) and kind in COMPLETIONS and not alone:
                answers.append(to_completion(row, kind))
                if kind is Format.UNPAIRED:
                    label = to_labelled(row, kind)
                    name = label.rater or nobody.name([(label.prompt.messages, label.completion)])
                    labels.setdefault((name, label.prompt.messages), []).append(label)
                continue
            items = _items_of(row, kind, where)
            found = items if rater else [_nameless(new) for new in items]
            shaped = [(new, nobody.named(list(fitting(new, sheet)))) for new in found]  # a row is in whole, or not
        except RowFault as fault:
            yield fault.at(where)
            continue
        for new, fit in shaped:
            if new.label and new.label.ranks and sheet.compare == "none" and new.part == "main":
                mend = "its answers go in without it"
                yield Fault(where, "", "a comparison", "none: the sheet compares nothing", mend)
            yield from fit
    yield from _put_together(path, answers, labels, sheet)


def _put_together(
    path: Path, answers: list[Completion], labels: dict[Said, list[Labelled]], sheet: Sheet
) -> Iterator[NewItem | Fault]:
    """Answers in rows of their own, by prompt; then what each rater's labels say of them, wanted before unwanted."""
    said = [(name, one) for (name, _), given in labels.items() if name for one in rankings_of(given)[0]]
    nameless = Counter({prompt_id(asked): len(given) for (name, asked), given in labels.items() if not name})
    for new in (
        *(
            _from_candidates(gathered, nameless[prompt_id(gathered.prompt.messages)], path)
            for gathered in gather(answers)
        ),
        *(
            _from_judgement(from_ranking(replace(ranking, rater=name)), _of_prompt(ranking.prompt, path))
            for name, ranking in said
        ),
    ):
        try:
            yield from fitting(_with_extras(new, new.prompt.meta), sheet)
        except RowFault as fault:
            yield fault.at(new.where)


def _of_prompt(prompt: Prompt, path: Path) -> str:
    """The place in its file of what several rows say."""
    return f"{path}, prompt {prompt.id}"


def _items_of(row: Row, kind: Kind, where: str) -> list[NewItem]:
    """The items of one row; a judgement that it holds is their label."""
    if kind in PLAIN:
        return [_from_responses(row, where)]
    if kind not in JUDGED:
        mend = "write prompt, response_a, response_b; or prompt, completion, a row for each answer"
        raise RowFault("", f"a row of {kind.value}", "answers to compare", mend)
    found = [_from_judgement(judgement, where) for judgement in judgements_of(row, kind) if not judgement.state]
    if kind is Foreign.RAW:  # whose part says how a label came about, and is no wish
        if any(new.label and new.label.part == DECISION for new in found):
            raise RowFault("part", "a reviewer's decision", "a rater's label", "decide anew in this project")
        return found
    return [_with_extras(new, row if isinstance(kind, Foreign) else new.prompt.meta) for new in found]


def _from_judgement(judgement: Judgement, where: str) -> NewItem:
    """What was judged. The steps of a worked answer are its lines."""
    answers = judgement.completions
    if judgement.value.get("steps"):
        answers = ("\n".join(answers),)
    sources = judgement.sources if len(judgement.sources) == len(answers) else ()
    beside = {**judgement.prompt.meta, **judgement.origin}
    return NewItem(
        prompt=replace(judgement.prompt, meta=beside),
        answers=answers,
        sources=tuple(source or "given" for source in sources) or ("given",) * len(answers),
        label=judgement if any(said != "none" for said in judgement.value.values()) else None,
        where=where,
    )


def _from_candidates(gathered: Candidates, nameless: int, path: Path) -> NewItem:
    return NewItem(
        prompt=gathered.prompt,
        answers=gathered.texts,
        sources=gathered.sources,
        nameless=nameless,
        where=_of_prompt(gathered.prompt, path),
    )


def _nameless(new: NewItem) -> NewItem:
    """The item without a label that names nobody, unless it is the answer of a check."""
    if new.label is None or new.label.rater or new.part != "main":
        return new
    return replace(new, label=None, nameless=1)


class _Nobody:
    """Names for the judgements of rows that name nobody. One rater says one thing of the same answers."""

    def __init__(self, rater: str) -> None:
        self._rater = rater
        self._times: dict[int, int] = {}  # by a hash of what was judged

    def name(self, judged: Sequence[Hashable]) -> str:
        """Whoever judges all of these at once; "" where there is no name to give."""
        if not self._rater:
            return ""
        keys = [hash(one) for one in judged]
        number = 1 + max((self._times.get(key, 0) for key in keys), default=0)
        self._times |= dict.fromkeys(keys, number)
        return f"{self._rater} {number}" if number > 1 else self._rater

    def named(self, parts: Sequence[NewItem]) -> list[NewItem]:
        """The items of one row, with the labels of nobody under one name."""
        mine = [one for one in parts if one.label and not one.label.rater]
        if not mine:
            return list(parts)
        name = self.name([(one.prompt.messages, frozenset(zip(one.sources, one.answers, strict=True))) for one in mine])
        return [
            replace(one, label=replace(one.label, rater=one.label.rater or name)) if one.label else one for one in parts
        ]


def _from_responses(given: Row, where: str) -> NewItem:
    """`prompt`, `response_a`, `response_b`, … and, where it is known, `source_a`, …; or lists of them.

    A `winner` of two answers is a label.
    """
    row = {key: value for key, value in given.items() if value is not None}  # Parquet fills what a row lacks
    text = row.get("prompt")
    if isinstance(text, str) and text.strip():
        messages: tuple[Message, ...] = (Message("user", text),)
    elif isinstance(text, list) and text and all(isinstance(m, dict) and {"role", "content"} <= set(m) for m in text):
        messages = tuple(Message(str(m["role"]), str(m["content"])) for m in text)
    else:
        raise RowFault("prompt", describe(text), "a text, or messages", "write the prompt")
    answers, sources, own = _lettered(row) if "response_a" in row or "completions" not in row else _listed(row)
    label = None
    if "winner" in row and "response_a" in row:
        if len(answers) != 2:
            raise RowFault("winner", f"one of {len(answers)} answers", "one of two", "write completions and ranks")
        [label] = judgements_of(row, Foreign.SIDES)
        own |= {"winner", "rater", "rater_kind"}
    own |= {"prompt", "id"}
    extra = {key: value for key, value in row.items() if key not in own}
    found = Prompt(id=str(row.get("id") or ""), messages=messages, meta=extra)
    return _with_extras(NewItem(prompt=found, answers=answers, sources=sources, label=label, where=where), extra)


Answers = tuple[tuple[str, ...], tuple[str, ...], set[str]]  # texts, who wrote each, and the columns that hold them


def _lettered(row: Row) -> Answers:
    answers = {column: text for column, text in row.items() if column.startswith("response_")}
    if not answers:
        raise RowFault("response_a", "no such field", "an answer", "name the columns prompt, response_a, response_b")
    for column, text in answers.items():
        if not isinstance(text, str):
            raise RowFault(column, describe(text), "a text", "write the answer")
    writers = [column.replace("response_", "source_", 1) for column in answers]
    sources = tuple([str(row.get(column) or "given") for column in writers])
    return tuple(answers.values()), sources, {*answers, *writers}


def _listed(row: Row) -> Answers:
    answers, sources = list_of(row, "completions", str), list_of(row, "sources", str)
    if len(sources) not in (0, len(answers)):
        raise RowFault("sources", f"{len(sources)} of them", f"one for each of {len(answers)} answers", "mend the list")
    return tuple(answers), tuple(sources) or ("given",) * len(answers), {"completions", "sources"}


def _with_extras(new: NewItem, given: Mapping[str, Any]) -> NewItem:
    """The columns of this module, taken out of the prompt's metadata where the readers put what they don't know."""
    if OWN.isdisjoint(given) and OWN.isdisjoint(new.prompt.meta):
        return new
    own = {name: given[name] for name in OWN if given.get(name) is not None}
    part = choice(own, "part", ("main", "gold", "training", "probe"), "main")
    if part in ("gold", "training") and new.label is None:
        raise RowFault("part", f"'{part}'", "an order of the answers beside it", "give chosen and rejected, or ranks")
    priority = own.get("priority", 0)
    if isinstance(priority, bool) or not str(priority).lstrip("-").isdigit() or abs(int(priority)) > 1000:
        raise RowFault("priority", describe(priority), "a whole number up to 1000", "write one or leave it out")
    meta = {name: value for name, value in new.prompt.meta.items() if name not in OWN}
    return replace(
        new,
        prompt=replace(new.prompt, meta=meta),
        part=part,
        explanation=str(own.get("explanation") or ""),
        priority=int(priority),
        skill=_skill(own.get("skill")),
        scores=_scores(own.get("scores"), len(new.answers)),
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
