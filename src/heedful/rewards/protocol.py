"""The Reward protocol. Text goes in, so that each reward model keeps its own tokenizer. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heedful.records import Prompt


@dataclass(frozen=True, slots=True)
class Score:
    """What one answer is worth, and the named parts that it is made of."""

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Reward(Protocol):
    """Scores answers to prompts, in the order given."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]: ...
