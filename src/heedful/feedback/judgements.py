"""A judgement: what one rater said about the answers to one prompt, and all that is known about how it came.

This is the raw log's row, in which individual labels are kept for good. Every statistic, consensus and export begins
with judgements, whoever judged. Answers are counted in stored order; `shown` tells how they lay on the screen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from heedful.records import Comparison, Prompt, Ranking, RaterKind, Row, messages_to_rows

SCHEMA = 1  # of the raw log
TIES = ("tie", "both_good", "both_bad")
DECISION = "decision"  # the part of a reviewer's decision: it stands for labels, and is no vote
RANDOM = "random"  # by what an item was chosen that chance alone has placed
FIRST, SECOND, TIE = 0, 1, 2  # which of two answers is better
STATES = ("", "superseded", "skipped", "reported")
VERDICTS = ("none", "prefer", *TIES, "cant_judge")


def better_of(rank: int, other: int) -> int:
    """FIRST, SECOND or TIE, by the ranks of two answers (0 best)."""
    return TIE if rank == other else FIRST if rank < other else SECOND


def ranks_in(value: Mapping[str, Any]) -> dict[int, int]:
    """place -> rank of the answers that a filled-in sheet compares; empty where it compares none."""
    match value.get("verdict", "none"):
        case "prefer":
            preferred = int(value["preferred"])
            return {0: preferred, 1: 1 - preferred}
        case "tie" | "both_good" | "both_bad":
            return {0: 0, 1: 0}
        case "cant_judge":
            return {}
    return {place: rank for place, rank in enumerate(value.get("ranks", ())) if rank is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One rater's filled-in sheet.

    `value` holds what was said and leaves out what wasn't: `verdict` (prefer, tie, both_good, both_bad, cant_judge),
    `preferred` and `strength` (0 to 4) for two answers; `ranks` (0 best, equal ones tie, None unranked); `ratings` and
    `flags` for each answer; `steps` (right, neutral, wrong); `presorted`, `edited`, `edited_from`,
    `reason`.
    `shown` lists stored places in the order of the screen, empty where that isn't known; `at` is seconds since 1970, 0
    where it isn't known. `state` is empty for what stands; else a later revision `superseded` it, or the rater said
    nothing and `skipped` or `reported` the item.
    """

    prompt: Prompt
    completions: tuple[str, ...]
    value: Mapping[str, Any]
    rater: str = ""
    rater_kind: RaterKind = "human"
    sources: tuple[str, ...] = ()
    shown: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()  # for each pair of places that were ranked; from files that hold margins
    weight: float = 1.0  # how much it counts in training; from files that hold weights
    judgement: int = 0
    revision: int = 1
    state: str = ""
    item: int = 0
    part: str = "main"
    chosen_by: str = "given"
    seconds: float = 0.0
    late: bool = False
    at: float = 0.0
    expected: Mapping[str, Any] = field(default_factory=dict)  # of a check: the right answer, in the form of `value`
    draws: tuple[Mapping[str, Any], ...] = ()  # `value` and `shown` of each time that a judge was asked
    origin: Mapping[str, Any] = field(default_factory=dict)  # what another tool's row held beside

    @property
    def ranks(self) -> dict[int, int]:
        """place -> rank of the answers that were compared; empty where none were."""
        return ranks_in(self.value)

    @property
    def strength(self) -> float:
        """How much better the preferred of two is, in the sheet's points or as the file's margin; 0: not said."""
        return float(self.margins[0] if self.margins else self.value.get("strength", 0))

    @property
    def safe(self) -> tuple[bool, ...]:
        """Whether each answer was said to be safe (criterion `safe`, 0 or 1); empty where that wasn't asked."""
        said = [ratings.get("safe") for ratings in self.value.get("ratings", ())]
        whole = len(said) == len(self.completions) and set(said) <= {0, 1}
        return tuple(map(bool, said)) if whole else ()

    @property
    def presorted(self) -> Row:
        """A column: was a ranking that began in its ratings' order `kept` so or `changed`? {}: it began empty."""
        said = self.value.get("presorted") or self.origin.get("presorted")
        return {"presorted": said} if said else {}

    @property
    def key(self) -> str:
        """A content hash: the same judgement has the same key, whichever file it comes from and however often."""
        row = raw_row(self)
        left = ("schema", "expected")  # an appeal may change what is expected, and the judgement stays the same
        text = json.dumps([row[name] for name in row if name not in left], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def ranking(self) -> Ranking | None:
        """The answers that were compared as a ranking; None where fewer than two were."""
        ranks = self.ranks
        if len(ranks) < 2:
            return None
        places = sorted(ranks)
        margins = self.margins
        if not margins and len(places) == 2 and self.strength:
            margins = (self.strength,)
        return Ranking(
            prompt=self.prompt,
            completions=tuple(self.completions[place] for place in places),
            ranks=tuple(ranks[place] for place in places),
            rater=self.rater,
            rater_kind=self.rater_kind,
            sources=tuple(self.sources[place] for place in places) if self.sources else (),
            margins=margins if len(margins) == len(list(combinations(places, 2))) else (),
            weight=self.weight,
        )

    def comparisons(self) -> list[Comparison]:
        """The judgement as pairs, better answer first; none where nothing was compared."""
        ranking = self.ranking()
        return ranking.comparisons() if ranking else []


def from_ranking(ranking: Ranking) -> Judgement:
    """A ranking, whoever made it, as a judgement. Of two answers, a verdict; of more, ranks."""
    value: dict[str, Any]
    if len(ranking.completions) == 2:
        first, second = ranking.ranks
        value = {"verdict": "tie"} if first == second else {"verdict": "prefer", "preferred": int(first > second)}
    else:
        value = {"ranks": list(ranking.ranks)}
    return Judgement(
        prompt=ranking.prompt,
        completions=ranking.completions,
        value=value,
        rater=ranking.rater,
        rater_kind=ranking.rater_kind,
        sources=ranking.sources,
        margins=ranking.margins,
        weight=ranking.weight,
    )


def raw_row(judgement: Judgement) -> Row:
    """One line of the raw log."""
    row: Row = {
        "schema": SCHEMA,
        "judgement": judgement.judgement,
        "revision": judgement.revision,
        "item": judgement.item,
        "part": judgement.part,
        "chosen_by": judgement.chosen_by,
        "id": judgement.prompt.id,
        "prompt": messages_to_rows(judgement.prompt.messages),
        "meta": dict(judgement.prompt.meta),
        "completions": list(judgement.completions),
        "sources": list(judgement.sources),
        "shown": list(judgement.shown),
        "rater": judgement.rater,
        "rater_kind": judgement.rater_kind,
        "value": dict(judgement.value),
        "seconds": judgement.seconds,
        "late": judgement.late,
        "at": judgement.at,
    }
    row |= {"state": judgement.state} if judgement.state else {}
    row |= {"margins": list(judgement.margins)} if judgement.margins else {}
    row |= {"expected": dict(judgement.expected)} if judgement.expected else {}
    row |= {"draws": [dict(draw) for draw in judgement.draws]} if judgement.draws else {}
    row |= {"weight": judgement.weight} if judgement.weight != 1 else {}
    return row | ({"origin": dict(judgement.origin)} if judgement.origin else {})
