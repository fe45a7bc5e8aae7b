"""Items in the shape that a sheet asks: every pair of a row's answers, all of them at once, or each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from heedful.data.faults import RowFault
from heedful.feedback.judgements import Judgement
from heedful.feedback.sheet import FEWEST, MOST, Answered, Sheet, read_answered
from heedful.records import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """One item to be: a prompt, its answers with who wrote each, and what is known of them."""

    prompt: Prompt
    answers: tuple[str, ...]
    sources: tuple[str, ...]
    part: str = "main"
    expected: Answered | None = None
    explanation: str = ""
    priority: int = 0
    skill: str = ""  # that a rater needs
    scores: tuple[tuple[float, ...], ...] = ()
    label: Judgement | None = None  # a judgement that came with the row; of a check, its right answer
    where: str = ""  # the row's place in its file
    nameless: int = 0  # judgements in the file that were left out, as nobody is named whose they are
    salt: str = ""  # tells apart turns of chats in which the very same was said


def answered_of(label: Judgement, sheet: Sheet) -> Answered:
    """A judgement as this sheet, filled in: what was compared in ranks, or as a verdict on two answers.

    InputError: it says what no sheet asks.
    """
    said, ranks = dict(label.value), label.ranks
    if sheet.compare == "rank" and "ranks" not in said and ranks:
        for name in ("verdict", "preferred", "strength"):
            said.pop(name, None)
        said["ranks"] = [ranks[place] for place in sorted(ranks)]
    elif sheet.compare == "pair" and "ranks" in said and len(ranks) == 2:
        del said["ranks"]
        tie = ranks[0] == ranks[1]
        said |= {"verdict": "tie"} if tie else {"verdict": "prefer", "preferred": int(ranks[1] < ranks[0])}
    if said.get("verdict") == "prefer":
        said["strength"] = int(min(4, max(1, round(label.strength))))
    if given := [rank for rank in said.get("ranks", ()) if rank is not None]:
        levels = sorted(set(given))
        said["ranks"] = [None if rank is None else levels.index(rank) for rank in said["ranks"]]
    return read_answered(said)


def fitting(new: NewItem, sheet: Sheet) -> Iterator[NewItem]:
    """The item as the sheet can show it: every pair of its answers, all of them, or each by itself.

    A check stays one, and what was said of the answers is said of each pair. RowFault: the sheet can't show the item.
    """
    if len(set(new.answers)) < len(new.answers):
        raise RowFault("", "two equal answers", "different answers", "remove one of them")
    match sheet.compare:
        case "rank":
            if not FEWEST <= len(new.answers) <= MOST:
                raise RowFault(
                    "", f"{len(new.answers)} answers", f"{FEWEST} to {MOST} of them", "split or drop the row"
                )
            yield _part_of(new, range(len(new.answers)), sheet)
        case "pair":
            if len(new.answers) < FEWEST:
                raise RowFault("", "a single answer", "two different ones", "sample more answers to this prompt")
            yield from [_part_of(new, places, sheet) for places in combinations(range(len(new.answers)), 2)]
        case "none":
            if new.label and new.part != "main":
                raise RowFault("part", f"'{new.part}'", "a sheet that compares answers", "leave the column out")
            yield from [_part_of(new, (place,), sheet) for place in range(len(new.answers))]


def _part_of(new: NewItem, places: Sequence[int], sheet: Sheet) -> NewItem:
    if len(places) == len(new.answers) and (new.label is None or new.part == "main"):
        return new
    label = _among(new.label, places, len(new.answers)) if new.label else None
    check = label is not None and new.part != "main"
    return replace(
        new,
        answers=tuple(new.answers[place] for place in places),
        sources=tuple(new.sources[place] for place in places),
        scores=tuple(new.scores[place] for place in places) if new.scores else (),
        expected=_expected(label, sheet) if label and check else new.expected,
        label=None if check else label,
    )


def _among(label: Judgement, places: Sequence[int], answers: int) -> Judgement | None:
    """What a judgement says of some of its answers; None: it didn't compare them."""
    if len(places) == answers:
        return label
    ranks = label.ranks
    if len(places) < FEWEST or not ranks.keys() >= set(places):
        return None
    pairs = combinations(sorted(ranks), 2)
    margins = dict(zip(pairs, label.margins, strict=True)) if label.margins else {}
    return replace(
        label,
        completions=tuple(label.completions[place] for place in places),
        value={"ranks": [ranks[place] for place in places]},
        sources=tuple(label.sources[place] for place in places) if label.sources else (),
        shown=tuple(places.index(place) for place in label.shown if place in places),
        margins=tuple(margins[pair] for pair in combinations(places, 2)) if margins else (),
        draws=(),
    )


def _expected(label: Judgement, sheet: Sheet) -> Answered:
    """The right answer of a check. RowFault: no rater could give it on this sheet."""
    found = answered_of(label, sheet)
    if found.verdict == "tie" and "tie" not in sheet.ties:
        raise RowFault("part", "a check whose answers are equal", "an order: the sheet has no ties", "drop the row")
    return found
