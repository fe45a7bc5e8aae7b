"""The sheet that a rater fills in for one item: which questions it asks, and whether an answer to them is sound.

A sheet is a composition, not a kind: comparing, ratings, flags, steps and editing may stand on one sheet, as on
InstructGPT's (ratings and flags for each answer, then a ranking; 2203.02155, fig. 12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from heedful.errors import InputError
from heedful.wording import expected

Verdict = Literal["none", "prefer", "tie", "both_good", "both_bad", "cant_judge"]
StepLabel = Literal["right", "neutral", "wrong"]
Asked = Literal["off", "optional", "required"]
TIES: tuple[Verdict, ...] = ("tie", "both_good", "both_bad")
FEWEST, MOST = 2, 9  # answers that can be compared at once


class Frozen(BaseModel):
    """Frozen, and a misspelt field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Key = str


class Criterion(Frozen):
    """A scale for each answer by itself, from `low` to `high`; `ends` say in words what the two ends mean."""

    key: Key = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """What ratings are stored under."""
    label: str = Field(min_length=1, max_length=80)
    """What raters read."""
    help: str = Field("", max_length=400)
    """What it means, in a sentence."""
    low: int = Field(1, ge=-9, le=9)
    """The lowest point."""
    high: int = Field(5, ge=-9, le=10)
    """The highest point."""
    ends: tuple[str, str] = ("", "")
    """What the two ends are called."""
    words: tuple[str, ...] = ()
    """What each point is called, from low to high; none: its number."""

    @model_validator(mode="after")
    def _ordered(self) -> Criterion:
        if not 1 <= self.high - self.low <= 10:
            raise ValueError(f"criterion '{self.key}' needs between 2 and 11 points, from low up to high")
        if len(self.words) not in (0, points := self.high - self.low + 1):
            raise ValueError(f"criterion '{self.key}' has {points} points and {len(self.words)} words for them")
        return self


class Flag(Frozen):
    """A yes-or-no remark on one answer."""

    key: Key = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """What is stored."""
    label: str = Field(min_length=1, max_length=80)
    """What raters read."""


class Sheet(Frozen):
    """What is asked about one item."""

    compare: Literal["none", "pair", "rank"] = "pair"
    """`pair`: which of two is better; `rank`: an order of several; `none`: answers by themselves."""
    strength: int = Field(3, ge=1, le=4)
    """Steps on each side of a pair: 1 asks only which is better, 3 is HelpSteer's −3…+3, 4 is HH's eight points."""
    degrees: tuple[str, ...] = ()
    """What the steps of `strength` are called, the weakest first; none: slightly better, better, …"""
    ties: tuple[Verdict, ...] = TIES
    """Which ways of being equal may be said."""
    criteria: tuple[Criterion, ...] = Field((), max_length=12)
    """Scales for each answer."""
    presort: Key = ""
    """A criterion by whose ratings the ranking is sorted once all are given; the rater then changes what isn't right.
    Empty: a ranking begins with nothing ranked."""
    flags: tuple[Flag, ...] = Field((), max_length=16)
    """Yes-or-no remarks on each answer."""
    steps: bool = False
    """Each line of the only answer is right, neutral or wrong."""
    edit: Asked = "off"
    """Whether the rater writes the answer as it should be."""
    reason: Asked = "optional"
    """Whether the rater says why."""
    chat: Literal["off", "compare", "red_team"] = "off"
    """A live chat with two models in place of items."""
    conversation: tuple[Criterion, ...] = Field((), max_length=12)
    """Scales for a chat as a whole, asked at its end; those in `criteria` are asked of every turn's answers."""

    @model_validator(mode="after")
    def _asks_something(self) -> Sheet:
        if self.compare == "none" and not (self.criteria or self.flags or self.steps or self.edit != "off"):
            raise ValueError("the sheet asks nothing: compare answers, or add criteria, flags, steps or editing")
        if len(self.degrees) not in (0, self.strength):
            raise ValueError(f"strength has {self.strength} steps and degrees names {len(self.degrees)}")
        if set(self.ties) - set(TIES):
            raise ValueError(f"ties may be {', '.join(TIES)}")
        if self.chat != "off" and self.compare != "pair":
            raise ValueError("a chat compares two answers a turn: set compare to 'pair'")
        if self.conversation and self.chat == "off":
            raise ValueError("conversation holds scales for a whole chat: set chat, or put them into criteria")
        if self.presort and (self.compare != "rank" or self.presort not in {c.key for c in self.criteria}):
            raise ValueError("presort names a criterion of a sheet that ranks (compare = 'rank')")
        for names in ([c.key for c in self.criteria], [f.key for f in self.flags], [c.key for c in self.conversation]):
            if len(set(names)) < len(names):
                raise ValueError("two criteria or two flags have one key")
        return self


class Answered(Frozen):
    """A filled-in sheet. Answers are counted in the order in which they lie in the database, not as they were shown."""

    verdict: Verdict = "none"
    """`prefer`, one of the sheet's ties, or `cant_judge`; `none` where the sheet ranks or compares nothing."""
    preferred: int = Field(-1, ge=-1, lt=MOST)
    """Place of the preferred answer, from 0."""
    strength: int = Field(0, ge=0, le=4)
    """By how many of the sheet's steps."""
    ranks: tuple[int | None, ...] = Field((), max_length=MOST)
    """0 is best, equal ranks are ties, None was left unranked."""
    ratings: tuple[dict[Key, int], ...] = Field((), max_length=MOST)
    """For each answer, criterion → point."""
    flags: tuple[tuple[Key, ...], ...] = Field((), max_length=MOST)
    """For each answer, the keys of the flags that are set."""
    steps: tuple[StepLabel | None, ...] = Field((), max_length=200)
    """For each step; null behind the first wrong one."""
    presorted: Literal["", "kept", "changed"] = ""
    """The ranking began in the order of the ratings (Sheet.presort), and was left so or not."""
    edited: str = Field("", max_length=100_000)
    """The answer as it should be."""
    edited_from: int = Field(-1, ge=-1, lt=MOST)
    """Place of the answer that was edited; −1: written anew."""
    reason: str = Field("", max_length=10_000)
    """Why."""


def steps_of(text: str) -> list[str]:
    """The steps of a worked answer: its lines that hold anything."""
    return [line for line in text.splitlines() if line.strip()]


def read_answered(value: Any) -> Answered:
    """InputError: it is no filled-in sheet at all."""
    try:
        return Answered.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"answer, field '{'.'.join(map(str, first['loc']))}'" if first["loc"] else "the answer"
        unknown = first["type"] == "extra_forbidden"
        said = " is unknown; leave it out" if unknown else f": expected {expected(first)}"
        raise InputError(where + said) from None


def check(answered: Answered, sheet: Sheet, answers: int, steps: int) -> None:
    """Refuse, in a sentence, what the sheet doesn't ask or what it asks and is missing.

    answers: how many the item has. steps: of its only answer, where the sheet labels steps.
    """
    for fault in (
        _verdict_fault(answered, sheet, answers),
        *([] if answered.verdict == "cant_judge" else _other_faults(answered, sheet, answers, steps)),
    ):
        if fault:
            raise InputError(fault)


def _verdict_fault(answered: Answered, sheet: Sheet, answers: int) -> str:
    if answered.verdict == "cant_judge":
        return ""
    match sheet.compare:
        case "none":
            return "" if answered.verdict == "none" and not answered.ranks else "this sheet compares no answers"
        case "pair":
            return _pair_fault(answered, sheet)
        case "rank":
            return _rank_fault(answered, answers)


def _pair_fault(answered: Answered, sheet: Sheet) -> str:
    if answered.verdict == "prefer":
        if answered.preferred not in (0, 1):
            return "say which of the two answers is better"
        if not 1 <= answered.strength <= sheet.strength:
            return f"say how much better, from 1 to {sheet.strength}"
        return ""
    if answered.verdict not in sheet.ties:
        return f"choose one answer, or one of: {', '.join((*sheet.ties, 'cant_judge'))}"
    return ""


def _rank_fault(answered: Answered, answers: int) -> str:
    if len(answered.ranks) != answers:
        return f"the item has {answers} answers and {len(answered.ranks)} ranks were given"
    given = sorted({rank for rank in answered.ranks if rank is not None})
    if len([rank for rank in answered.ranks if rank is not None]) < 2:
        return "rank at least two answers"
    if given != list(range(len(given))):
        return "ranks must count 0, 1, 2, … with none left out; equal ranks are ties"
    return "" if answered.verdict == "none" else "a ranking has no verdict but 'cant_judge'"


def _presort_fault(answered: Answered, sheet: Sheet) -> str:
    if answered.presorted and not sheet.presort:
        return "this sheet sorts no ranking by ratings"
    if answered.presorted == "kept" and answered.ranks != ranks_by(answered.ratings, sheet.presort):
        return f"presorted says 'kept', but the ranks are not in the order of '{sheet.presort}'"
    return ""


def ranks_by(ratings: Sequence[Mapping[Key, int]], key: Key) -> tuple[int, ...]:
    """The ranking that ratings by one criterion give: the highest first, equal ones tied."""
    levels = sorted({one[key] for one in ratings}, reverse=True)
    return tuple(levels.index(one[key]) for one in ratings)


def _other_faults(answered: Answered, sheet: Sheet, answers: int, steps: int) -> list[str]:
    return [
        _ratings_fault(answered, sheet, answers) or _presort_fault(answered, sheet),
        _flags_fault(answered, sheet, answers),
        _steps_fault(answered, sheet, steps),
        _edit_fault(answered, sheet, answers),
        "write a reason" if sheet.reason == "required" and not answered.reason.strip() else "",
        "this sheet asks no reason" if sheet.reason == "off" and answered.reason else "",
    ]


def _ratings_fault(answered: Answered, sheet: Sheet, answers: int) -> str:
    wanted = {criterion.key: criterion for criterion in sheet.criteria}
    if not wanted:
        return "this sheet has no criteria" if any(answered.ratings) else ""
    if len(answered.ratings) != answers:
        return f"rate each of the {answers} answers"
    faults = [_scales_fault(one, wanted, f"answer {number + 1}: ") for number, one in enumerate(answered.ratings)]
    return next(filter(None, faults), "")


def _scales_fault(ratings: Mapping[Key, int], wanted: Mapping[Key, Criterion], whose: str = "") -> str:
    if missing := [criterion.label for key, criterion in wanted.items() if key not in ratings]:
        return f"{whose}rate {', '.join(missing)}"
    for key, value in ratings.items():
        if key not in wanted:
            return f"'{key}' is no criterion of this sheet"
        if not wanted[key].low <= value <= wanted[key].high:
            return f"{wanted[key].label} goes from {wanted[key].low} to {wanted[key].high}, and {value} was given"
    return ""


def check_conversation(ratings: Mapping[Key, int], sheet: Sheet) -> None:
    """InputError: ratings of a whole chat that the sheet doesn't ask, or that are missing."""
    if fault := _scales_fault(ratings, {criterion.key: criterion for criterion in sheet.conversation}):
        raise InputError(fault)


def _flags_fault(answered: Answered, sheet: Sheet, answers: int) -> str:
    known = {flag.key for flag in sheet.flags}
    given = {key for keys in answered.flags for key in keys}
    if given - known:
        return f"'{min(given - known)}' is no flag of this sheet"
    return f"flags are given for {len(answered.flags)} of {answers} answers" if len(answered.flags) > answers else ""


def _steps_fault(answered: Answered, sheet: Sheet, steps: int) -> str:
    if not sheet.steps:
        return "this sheet labels no steps" if answered.steps else ""
    if len(answered.steps) != steps:
        return f"the answer has {steps} steps and {len(answered.steps)} labels were given"
    missing = [number + 1 for number, label in enumerate(answered.steps) if label is None]
    if missing and "wrong" not in answered.steps[: missing[0]]:  # after the first wrong step nothing needs a label
        return f"step {missing[0]} has no label yet"
    return ""


def _edit_fault(answered: Answered, sheet: Sheet, answers: int) -> str:
    if not answered.edited.strip():
        return "write the answer as it should be" if sheet.edit == "required" else ""
    if sheet.edit == "off":
        return "this sheet has no editing"
    return "" if answered.edited_from < answers else "say which answer was edited"


def in_stored_order(answered: Answered, shown: tuple[int, ...]) -> Answered:
    """What was said of the answers as shown, said of them as stored; shown[i] is the stored place of the i-th shown."""
    return _moved(answered, shown, [shown.index(place) for place in range(len(shown))])


def in_shown_order(answered: Answered, shown: tuple[int, ...]) -> Answered:
    """The way back, for showing an earlier answer again."""
    inverse = [shown.index(place) for place in range(len(shown))]
    return _moved(answered, inverse, shown)


def _moved(answered: Answered, forward: Any, backward: Any) -> Answered:
    """forward[old place] = new place; backward[new place] = old place."""

    def spread(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[i] for i in backward) if len(values) == len(backward) else values

    def moved(place: int) -> int:
        return int(forward[place]) if 0 <= place < len(forward) else place

    return answered.model_copy(
        update={
            "preferred": moved(answered.preferred),
            "edited_from": moved(answered.edited_from),
            "ranks": spread(answered.ranks),
            "ratings": spread(answered.ratings),
            "flags": spread(answered.flags),
        }
    )
