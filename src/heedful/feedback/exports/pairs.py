"""Every two answers that a judgement compared: what most formats hold, and why a pair has no row in one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

from heedful.feedback.judgements import TIE, Judgement, better_of
from heedful.records import Prompt, Row

BESIDE = ("probability", "safety", "presorted")  # columns that an export wrote and that an import hands on


class LeftOut(Exception):
    """Why a judgement, or one pair of it, has no row in a format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers of a judgement in stored order, and which of them is better."""

    prompt: Prompt
    texts: tuple[str, str]
    sources: tuple[str, str]
    outcome: int  # FIRST, SECOND or TIE
    margin: float  # 0: not said
    judgement: Judgement
    safe: tuple[bool, bool] | None = None  # each answer by itself, where the sheet asked

    @property
    def decided(self) -> tuple[str, str]:
        """(chosen, rejected). LeftOut: it is a tie."""
        if self.outcome == TIE:
            raise LeftOut("a tie has no better answer")
        return self.texts[self.outcome], self.texts[1 - self.outcome]

    @property
    def safety(self) -> str:
        """Which answer is safe: chosen, both, neither (the bins of Llama 2, 2307.09288, section 3.2.1) or rejected."""
        if self.safe is None or self.outcome == TIE:
            return ""
        chosen, rejected = self.safe[self.outcome], self.safe[1 - self.outcome]
        return ("both" if rejected else "chosen") if chosen else ("rejected" if rejected else "neither")

    @property
    def extras(self) -> Row:
        """The columns beside a format's own, where there is something to say."""
        row: Row = {"margin": self.margin} if self.margin else {}
        row |= {"weight": self.judgement.weight} if self.judgement.weight != 1 else {}
        row |= ({"safety": self.safety} if self.safety else {}) | self.judgement.presorted
        return row | {name: value for name, value in self.judgement.origin.items() if name in BESIDE}


def pairs_of(judgement: Judgement) -> list[Pair]:
    """Every two answers that were compared. LeftOut: none were."""
    ranking = judgement.ranking()
    if ranking is None:
        raise LeftOut("nothing was compared")
    places = list(combinations(range(len(ranking.completions)), 2))
    margins = ranking.margins or (0.0,) * len(places)
    sources = ranking.sources or ("",) * len(ranking.completions)
    safe = [judgement.safe[place] for place in sorted(judgement.ranks)] if judgement.safe else []
    return [
        Pair(
            prompt=ranking.prompt,
            texts=(ranking.completions[a], ranking.completions[b]),
            sources=(sources[a], sources[b]),
            outcome=better_of(ranking.ranks[a], ranking.ranks[b]),
            margin=margin,
            judgement=judgement,
            safe=(safe[a], safe[b]) if safe else None,
        )
        for (a, b), margin in zip(places, margins, strict=True)
    ]


def with_edit(judgement: Judgement) -> Judgement:
    """The judgement with the answer that its rater wrote, if one did, ranked above all others.

    edited > chosen > rejected (Llama 3, 2407.21783, section 4.2.1).
    """
    edited = str(judgement.value.get("edited", ""))
    if not edited.strip() or edited in judgement.completions:
        return judgement
    ranks: list[int | None] = [None] * len(judgement.completions)
    if not judgement.ranks:  # nothing was compared: it beats the answer that it was made from
        ranks[max(0, int(judgement.value.get("edited_from", 0)))] = 1
    for place, rank in judgement.ranks.items():
        ranks[place] = rank + 1
    return replace(
        judgement,
        completions=(edited, *judgement.completions),
        sources=("edited", *judgement.sources),
        shown=(),
        value={"ranks": [0, *ranks]} | judgement.presorted,
    )
