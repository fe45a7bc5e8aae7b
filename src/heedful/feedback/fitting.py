"""Items in the shape that a sheet asks: every pair of a row's answers, all of them at once, or each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from heedful.data.faults import RowFault
from heedful.feedback.sheet import FEWEST, MOST, Answered, Sheet
from heedful.records import Prompt, Ranking


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
    label: Ranking | None = None  # a judgement that came with the row; of a check, its right answer
    where: str = ""  # the row's place in its file
    salt: str = ""  # tells apart turns of chats in which the very same was said


def answered_of(ranking: Ranking, sheet: Sheet) -> Answered:
    """A ranking as this sheet, filled in: in ranks, or as a preference of two answers."""
    if sheet.compare == "rank":
        levels = sorted(set(ranking.ranks))
        return Answered(ranks=tuple(levels.index(rank) for rank in ranking.ranks))
    if ranking.ranks[0] == ranking.ranks[1]:
        return Answered(verdict="tie")
    strength = int(min(4, max(1, round(ranking.margins[0])))) if ranking.margins else 1
    return Answered(verdict="prefer", preferred=int(ranking.ranks[1] < ranking.ranks[0]), strength=strength)


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
    label = _among(new.label, places) if new.label and len(places) > 1 else None
    check = label is not None and new.part != "main"
    return replace(
        new,
        answers=tuple(new.answers[place] for place in places),
        sources=tuple(new.sources[place] for place in places),
        scores=tuple(new.scores[place] for place in places) if new.scores else (),
        expected=_expected(label, sheet) if label and check else new.expected,
        label=None if check else label,
    )


def _among(ranking: Ranking, places: Sequence[int]) -> Ranking:
    """What a ranking says of some of its answers."""
    pairs = list(combinations(range(len(ranking.completions)), 2))
    margins = dict(zip(pairs, ranking.margins, strict=True)) if ranking.margins else {}
    return replace(
        ranking,
        completions=tuple(ranking.completions[place] for place in places),
        ranks=tuple(ranking.ranks[place] for place in places),
        sources=tuple(ranking.sources[place] for place in places) if ranking.sources else (),
        margins=tuple(margins[pair] for pair in combinations(places, 2)) if margins else (),
    )


def _expected(ranking: Ranking, sheet: Sheet) -> Answered:
    """The right answer of a check. RowFault: no rater could give it on this sheet."""
    found = answered_of(ranking, sheet)
    if found.verdict == "tie" and "tie" not in sheet.ties:
        raise RowFault("part", "a check whose answers are equal", "an order: the sheet has no ties", "drop the row")
    return found
