"""Reading data files into records. A file is read whole or refused with its faults: nothing is skipped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn, TypeVar

from heedful.data.convert import (
    to_completion,
    to_demonstration,
    to_document,
    to_judgement,
    to_labelled,
    to_prompt,
    to_ranking,
)
from heedful.data.faults import SHOWN, Fault, RowFault, raise_faults
from heedful.data.formats import HALVED, PREFERENCES, Format, recognise, require_columns
from heedful.data.grades import to_outcome, to_rating, to_steps
from heedful.data.json_rows import Located
from heedful.data.rows import read_rows
from heedful.errors import InputError
from heedful.records import Completion, Demonstration, Labelled, Messages, Prompt, Ranking, Rating, Row, StepLabels

T = TypeVar("T")
K = TypeVar("K", bound=StrEnum)
TELLING = 100  # first rows that tell a file's format

CONVERSATIONS = (
    Format.MESSAGES,
    Format.SHAREGPT,
    Format.ALPACA,
    Format.QUESTION,
    Format.DEMONSTRATION,
    Format.COMPLETION,
)
DOCUMENTS = (Format.TEXT, *CONVERSATIONS)
GRADES = (Format.RATING, Format.STEPWISE)
PROMPTS = (
    Format.PROMPT,
    Format.CANDIDATES,
    Format.TEXT,
    *CONVERSATIONS,
    Format.UNPAIRED,
    Format.RANKING,
    *PREFERENCES,
    *GRADES,
)
COMPLETIONS = (*CONVERSATIONS, Format.UNPAIRED)
RANKINGS = (Format.RANKING, *PREFERENCES)


def read_documents(path: str | Path) -> list[str | Messages]:
    """Pages to pretrain on: texts, or whole conversations."""
    return _read(path, DOCUMENTS, to_document, "documents")


def read_prompts(path: str | Path) -> list[Prompt]:
    """Prompts; a file that holds answers too gives its prompts. A plain text is a beginning to be continued."""
    return _read(path, PROMPTS, to_prompt, "prompts")


def read_demonstrations(path: str | Path) -> list[Demonstration]:
    """Prompts with the answer to learn."""
    return _read(path, CONVERSATIONS, to_demonstration, "demonstrations")


def read_completions(path: str | Path) -> list[Completion]:
    """Answers that policies gave."""
    return _read(path, COMPLETIONS, to_completion, "completions")


def read_rankings(paths: Sequence[str | Path]) -> list[Ranking]:
    """Judgements of all files in order; one row is one Ranking, a preference a ranking of two."""
    return [ranking for path in paths for ranking in _read(path, RANKINGS, to_ranking, "rankings or preferences")]


def read_ratings(paths: Sequence[str | Path]) -> list[Rating]:
    """Ratings of all files in order, one row an answer."""
    return [
        rating
        for path in paths
        for rating in _read(path, (Format.RATING,), lambda row, _: to_rating(row), "ratings by criterion")
    ]


def read_outcomes(paths: Sequence[str | Path]) -> list[StepLabels]:
    """Answers that are right or wrong as a whole, of all files in order: one step each."""
    return [outcome for path in paths for outcome in _read(path, (Format.UNPAIRED,), to_outcome, "labelled answers")]


def read_steps(paths: Sequence[str | Path]) -> list[StepLabels]:
    """Answers in steps with a label for each, of all files in order."""
    return [
        steps
        for path in paths
        for steps in _read(path, (Format.STEPWISE,), lambda row, _: to_steps(row), "stepwise labels")
    ]


def read_labels(path: str | Path) -> list[Labelled]:
    """Answers labelled one by one."""
    return _read(path, (Format.UNPAIRED,), to_labelled, "labelled answers")


def read_judgements(paths: Sequence[str | Path]) -> list[Labelled | Ranking]:
    """Labels, preferences and rankings of all files in order."""
    accepted = (Format.UNPAIRED, *RANKINGS)
    return [item for path in paths for item in _read(path, accepted, to_judgement, "labels, rankings or preferences")]


def located(items: Iterator[Located | Fault], tell: Callable[[Row], K]) -> Iterator[tuple[str, Row, K] | Fault]:
    """Every row with its place and the file's format, which most of its first rows tell.

    tell: a row's own format; RowFault where it is in none. A row that lacks what a Format needs is a fault.
    """
    first = list(islice(items, TELLING))
    kind = _most_common([item.row for item in first if isinstance(item, Located)], tell)
    for item in chain(first, items):
        if isinstance(item, Fault):
            yield item
            continue
        try:
            kind = kind or tell(item.row)
        except RowFault as fault:
            yield fault.at(item.where)
            return  # the file is in no known format: once is enough
        try:
            if isinstance(kind, Format):
                require_columns(item.row, kind)
            yield item.where, item.row, kind
        except RowFault as fault:
            yield fault.at(item.where)


def _most_common(rows: Sequence[Row], tell: Callable[[Row], K]) -> K | None:
    """The format of most rows, so that one that lacks a column doesn't speak for its file; pairs outvote prompts."""
    found: Counter[K] = Counter()
    for row in rows:
        with suppress(RowFault):
            found[tell(row)] += 1
    for kind in [kind for kind in found if HALVED.get(kind) in found]:
        del found[kind]  # among pairs, a prompt alone is one that lost its answers
    return found.most_common(1)[0][0] if found else None


def converted(path: Path, convert: Callable[[Row, Format], T]) -> Iterator[T | Fault]:
    """Every row as a record, with a fault in the place of each unsound one."""
    for item in located(read_rows(path), recognise):
        if isinstance(item, Fault):
            yield item
            continue
        where, row, kind = item
        try:
            yield convert(row, kind)
        except RowFault as fault:
            yield fault.at(where)


def _read(path: str | Path, accepted: tuple[Format, ...], convert: Callable[[Row, Format], T], what: str) -> list[T]:
    path = Path(path)

    def accept(row: Row, kind: Format) -> T:
        if kind not in accepted:
            _refuse(path, kind, accepted, what)
        return convert(row, kind)

    records: list[T] = []
    faults: list[Fault] = []
    count = 0
    for item in converted(path, accept):
        if not isinstance(item, Fault):
            records.append(item)
            continue
        count += 1
        faults += [item] if count <= SHOWN else []
    raise_faults(str(path), faults, count, len(records) + count)
    if not records:
        raise InputError(f"{path}: holds no rows, expected {what}; check that the right file was written")
    return records


def _refuse(path: Path, kind: Format, accepted: tuple[Format, ...], what: str) -> NoReturn:
    """The whole file is of another kind than the stage needs."""
    match kind:
        case _ if accepted in ((Format.RATING,), (Format.STEPWISE,), (Format.UNPAIRED,)) and kind not in GRADES:
            mend = _other_loss(kind)
        case Format.STEPWISE:
            mend = 'labels of single steps train a process reward model: heedful reward with loss.type = "process"'
        case Format.RATING:
            mend = 'ratings train a reward model by regression: heedful reward with loss.type = "regression"'
        case Format.UNPAIRED:
            mend = (
                "a single labelled answer has no rival to be ranked against, and may be one to avoid; labels serve dpo "
                'with loss.type = "kto" or "bco" and reward with loss.type = "outcome", and '
                f"`heedful convert {path} NEW --to rankings` pairs the answers to one prompt"
            )
        case Format.PROMPT:
            mend = "these prompts wait for an answer; sample completions first, or name the file with the answers"
        case Format.CANDIDATES:
            mend = "nobody has compared these answers yet; `heedful studio import` shows them to people"
            if accepted == COMPLETIONS:
                mend += "; or give each answer a row of its own, with prompt and completion"
        case Format.TEXT:
            mend = "texts without a prompt serve pretraining alone; name a file with prompts and answers"
        case _ if kind in RANKINGS:
            mend = "judged answers serve reward, dpo and ppo's prompts; name a file with one good answer to each prompt"
        case _ if Format.UNPAIRED in accepted:
            mend = (
                "nobody has judged these answers; give each row a `label` (true: wanted, false: not), or name a file "
                "with chosen and rejected, or with rankings"
            )
        case _:
            mend = "one answer alone can't be ranked; name a file with chosen and rejected, or with rankings"
    raise InputError(f"{path}: holds {kind.value}, expected {what}; {mend}")


def _other_loss(kind: Format) -> str:
    """Which of the reward models a file serves that was given to one for ratings or steps."""
    if kind in RANKINGS:
        return 'judgements between answers train a reward model with loss.type = "bradley_terry" or "plackett_luce"'
    if kind is Format.UNPAIRED:
        return 'answers that are right or wrong as a whole train one with loss.type = "outcome"'
    return "nobody has judged these answers; name a file with their judgements"
