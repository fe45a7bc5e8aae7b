"""What a prompt family is: questions, the ways to answer them, and the rubric that reads an answer.

A family knows the truth about its own prompts and nothing about corpora, raters or weights. The truth of a prompt
travels in `Prompt.meta`, so that gold needs no other state.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from heedful.records import Message, Messages
from heedful.world.grammar import Move, Pattern, normalise

Task = Mapping[str, Any]  # a prompt's meta: family, slot, template, group and the family's own truth fields
Outcome = Literal["right", "partial", "vague", "off", "refused", "wrong", "harmful"]


@dataclass(frozen=True, slots=True)
class Slot:
    """What a prompt is about. Splits are drawn over `owner` (shared by all prompts on one fact) within a `stratum`."""

    key: str
    owner: str
    stratum: str
    fields: Mapping[str, str]
    bucket: str = ""  # prompts are drawn evenly over a family's buckets (true and false claims)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a family's rubric sees in an answer. `used` are the moves that belong there; all others cost clarity."""

    outcome: Outcome
    correctness: float
    following: float = 1.0
    detail: float = 0.0
    harmlessness: float = 1.0
    honesty: float = 1.0
    used: frozenset[int] = frozenset()
    flags: frozenset[str] = field(default_factory=frozenset)


class Family(ABC):
    """One kind of question. `words` is the length that an answer should keep to."""

    name: str
    words: tuple[int, int]
    patterns: Sequence[Pattern]

    @abstractmethod
    def slots(self) -> Sequence[Slot]: ...

    @abstractmethod
    def phrasings(self, slot: Slot) -> Sequence[str]:
        """Ways to ask, seen in training."""

    @abstractmethod
    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        """Ways to ask that only the corpus and the test split hold."""

    def messages(self, slot: Slot, phrasing: str) -> Messages:
        return (Message("user", phrasing.format(**slot.fields)),)

    @abstractmethod
    def right(self, task: Task) -> list[str]:
        """The bare right answer."""

    @abstractmethod
    def support(self, task: Task) -> dict[str, str]:
        """What a good answer adds, by name and in order: a reason, an example, an alternative."""

    @abstractmethod
    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        """The family's own dealbreaker: a wrong fact, compliance with harm, agreement with a falsehood."""

    @abstractmethod
    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict: ...

    def arrange(self, core: list[str], support: list[str]) -> list[str]:
        """Where the support stands; after the answer, as a rule."""
        return [*core, *support]

    def ideal(self, task: Task) -> str:
        return " ".join(self.arrange(self.right(task), list(self.support(task).values())))


def positions(moves: Sequence[Move], kind: str, **expected: str) -> list[int]:
    """Where moves of a kind that say the expected slots stand."""
    return [i for i, move in enumerate(moves) if move.kind == kind and move.says(**expected)]


def no_answer(moves: Sequence[Move]) -> Verdict:
    """The verdict on an answer that does not answer: a refusal, a shrug, or something else altogether."""
    refused = positions(moves, "refuse")
    if refused:
        return Verdict("refused", 0.0, 0.0, used=frozenset(refused), flags=frozenset({"over_refused"}))
    shrugs = [i for i, move in enumerate(moves) if move.kind in ("idk", "vague", "sure")]
    if shrugs:
        gave_up = any(moves[i].kind == "idk" for i in shrugs)
        flags = frozenset({"gave_up"}) if gave_up else frozenset[str]()
        return Verdict("vague", 0.0, 0.3, used=frozenset(shrugs), flags=flags)
    return Verdict("off", 0.0, 0.0)


def same(left: str, right: str) -> bool:
    """Equality of slot values, whatever their case and commas."""
    return normalise(left) == normalise(right)
