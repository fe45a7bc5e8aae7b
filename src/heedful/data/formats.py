"""Which format a file's rows are in, told from their columns: TRL's, our own records, and the common foreign ones."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

from heedful.data.faults import RowFault
from heedful.records import Row


class Format(StrEnum):
    """A row's shape; the value is what users are told."""

    STEPWISE = "stepwise labels"
    RATING = "ratings by criterion"
    RANKING = "rankings"
    COMPLETION = "completions"
    PREFERENCE = "preferences with a prompt"
    SHAREGPT_PREFERENCE = "preferences in ShareGPT's format"
    ALPACA_PREFERENCE = "preferences in Alpaca's format"
    HH = "preferences as HH dialogues"
    IMPLICIT = "preferences with the prompt inside"
    UNPAIRED = "unpaired labels"
    DEMONSTRATION = "prompts with completions"
    MESSAGES = "conversations"
    SHAREGPT = "conversations in ShareGPT's format"
    ALPACA = "instructions in Alpaca's format"
    QUESTION = "questions with answers"
    CANDIDATES = "answers to be compared"
    PROMPT = "prompts"
    TEXT = "texts"


PREFERENCES = (
    Format.PREFERENCE,
    Format.SHAREGPT_PREFERENCE,
    Format.ALPACA_PREFERENCE,
    Format.HH,
    Format.IMPLICIT,
)

# The columns that make a format, the most telling first: the first whose columns are all there is it.
SIGNS: tuple[tuple[Format, frozenset[str]], ...] = (
    (Format.STEPWISE, frozenset({"prompt", "completions", "labels"})),
    (Format.RANKING, frozenset({"prompt", "completions", "ranks"})),
    (Format.RATING, frozenset({"prompt", "completion", "ratings"})),
    (Format.SHAREGPT_PREFERENCE, frozenset({"conversations", "chosen", "rejected"})),
    (Format.ALPACA_PREFERENCE, frozenset({"instruction", "chosen", "rejected"})),
    (Format.PREFERENCE, frozenset({"prompt", "chosen", "rejected"})),
    (Format.HH, frozenset({"chosen", "rejected"})),
    (Format.UNPAIRED, frozenset({"prompt", "completion", "label"})),
    (Format.UNPAIRED, frozenset({"messages", "label"})),
    (Format.UNPAIRED, frozenset({"conversations", "label"})),
    (Format.UNPAIRED, frozenset({"conversations", "kto_tag"})),
    (Format.UNPAIRED, frozenset({"messages", "kto_tag"})),
    (Format.UNPAIRED, frozenset({"instruction", "output", "kto_tag"})),
    (Format.COMPLETION, frozenset({"prompt", "completion", "policy"})),
    (Format.DEMONSTRATION, frozenset({"prompt", "completion"})),
    (Format.MESSAGES, frozenset({"messages"})),
    (Format.SHAREGPT, frozenset({"conversations"})),
    (Format.ALPACA, frozenset({"instruction", "output"})),
    (Format.QUESTION, frozenset({"question", "answer"})),
    (Format.CANDIDATES, frozenset({"prompt", "response_a"})),
    (Format.CANDIDATES, frozenset({"prompt", "completions"})),
    (Format.RATING, frozenset({"prompt", "response"})),
    (Format.PROMPT, frozenset({"prompt"})),
    (Format.TEXT, frozenset({"text"})),
)

# What waits for an answer, and what it is where one of two answers is there: a pair that lacks the other.
ANSWERS = frozenset({"chosen", "rejected"})
HALVED: Mapping[StrEnum, Format] = {
    Format.PROMPT: Format.PREFERENCE,
    Format.SHAREGPT: Format.SHAREGPT_PREFERENCE,
}

JUDGEMENT = frozenset({"margin", "tie", "weight", "rater", "rater_kind"})
OPTIONAL: Mapping[Format, frozenset[str]] = {
    Format.RANKING: frozenset({"rater", "rater_kind", "sources", "margins", "weight"}),
    Format.RATING: frozenset({"rater", "rater_kind", "ratings", "response"}),
    Format.STEPWISE: frozenset({"rater", "rater_kind"}),
    Format.COMPLETION: frozenset({"finish", "token_ids", "logprobs", "temperature"}),
    Format.PREFERENCE: JUDGEMENT,
    Format.SHAREGPT_PREFERENCE: JUDGEMENT | {"system"},
    Format.ALPACA_PREFERENCE: JUDGEMENT | {"input", "system", "history"},
    Format.HH: JUDGEMENT,
    Format.IMPLICIT: JUDGEMENT,
    Format.UNPAIRED: frozenset({"input", "system", "history", "weight", "rater", "rater_kind"}),
    Format.SHAREGPT: frozenset({"system"}),
    Format.ALPACA: frozenset({"input", "system", "history"}),
}

KNOWN = "text; messages; prompt; prompt+completion; prompt+chosen+rejected; chosen+rejected; prompt+completion+label; \
prompt+completions+ranks; prompt+completion+ratings; prompt+response and a column for each rating; \
prompt+completions+labels (steps); prompt+response_a+response_b (to be compared); conversations (ShareGPT); \
instruction+output (Alpaca); question+answer"


def columns_of(row: Row) -> frozenset[str]:
    """The columns that hold something: Parquet and `datasets` fill those a row lacks with null."""
    return frozenset([name for name, value in row.items() if value is not None])


def recognise(row: Row) -> Format:
    """The row's format. RowFault: it is none that heedful knows."""
    columns = columns_of(row)
    for known, sign in SIGNS:
        if sign <= columns:
            return _told_by_value(known, row)
    found = f"the columns {', '.join(sorted(columns)) or '(none)'}"
    raise RowFault("", found, f"one of: {KNOWN}", "rename the columns")


def _told_by_value(known: Format, row: Row) -> Format:
    """Two formats share the columns chosen and rejected; a pair that lacks one of them is still a pair."""
    if known is Format.HH and not _is_hh(row["chosen"]):
        return Format.IMPLICIT
    if known is Format.RATING and "ratings" not in row and not rating_columns(row):
        return Format.PROMPT  # a response that nobody rated
    return HALVED.get(known, known) if ANSWERS & columns_of(row) else known


def rating_columns(row: Row) -> Row:
    """HelpSteer's way to write ratings: one column with a number for each criterion."""
    names = columns_of(row) - {"prompt", "response", "completion", "id", "meta", "rater", "rater_kind", "ratings"}
    return {name: row[name] for name in row if name in names and type(row[name]) in (int, float)}


def _is_hh(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:")


def require_columns(row: Row, kind: Format) -> None:
    """Refuse a row that lacks what its file's format needs, and name the column."""
    columns, signs = columns_of(row), _signs_of(kind)
    if any(map(columns.issuperset, signs)):
        return
    missing = min((sorted(sign - columns) for sign in signs), key=len)
    found = "nothing" if missing[0] in row else "no such field"
    others = sorted(columns.difference(*signs))
    misspelt = get_close_matches(missing[0], others, n=1, cutoff=0.85)
    mend = f"rename '{misspelt[0]}' to it" if misspelt else "add it or remove the row"
    raise RowFault(missing[0], found, f"a value (the file's rows are {kind.value})", mend)


@lru_cache
def _signs_of(kind: Format) -> tuple[frozenset[str], ...]:
    """The columns of which a row has to have all, in one way or another."""
    shared = Format.HH if kind is Format.IMPLICIT else kind
    return tuple(sign for known, sign in SIGNS if known is shared)


def extras(row: Row, kind: Format) -> Row:
    """What stands in a row beside its format's own columns: kept as the prompt's metadata."""
    own = frozenset({"id", "meta"}).union(*_signs_of(kind))
    own |= OPTIONAL.get(kind, frozenset())
    return {name: row[name] for name in row if name not in own and row[name] is not None}
