"""The Judge protocol: what an answer is worth, criterion by criterion. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heedful.records import Prompt


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer is worth in all, each criterion by itself, and what it did (`refused`, `flattered`, …)."""

    total: float
    criteria: Mapping[str, float] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()


class Judge(Protocol):
    """Scores each answer by itself, so that there is no order of two answers to be averaged over."""

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Judgement]: ...
