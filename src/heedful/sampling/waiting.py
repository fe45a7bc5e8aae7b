"""Prompts that wait for a place among the rows being decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

JOIN_SHARE = 8  # prompts join when 1/8 of the places are free: prompts together are cheaper than one by one


@dataclass
class Waiting:
    """The prompts of one call, of which those from `first` on have no place yet."""

    prompts: Sequence[Sequence[int]]
    slots: int  # places, free and taken
    first: int = 0

    def join(self, free: int) -> list[int]:
        """Which prompts take a place now, where so many are free."""
        count = min(len(self.prompts) - self.first, free) if free * JOIN_SHARE >= self.slots else 0
        self.first += count
        return list(range(self.first - count, self.first))

    def missing(self, free: int) -> int:
        """How many more places must become free before somebody joins; more than there are where nobody waits."""
        return -(-self.slots // JOIN_SHARE) - free if self.first < len(self.prompts) else self.slots + 1

    def beginnings(self, samples: Sequence[int]) -> tuple[list[tuple[int, ...]], list[int]]:
        """All but the last token of these prompts, once for those that follow each other, and which one each has.

        The next step feeds the last token like any other. A single token is cached in vain, and overwritten by it.
        """
        beginnings: list[tuple[int, ...]] = []
        shared: list[int] = []
        for sample in samples:
            prompt = self.prompts[sample]
            beginning = tuple(prompt[:-1] or prompt)
            if not beginnings or beginnings[-1] != beginning:
                beginnings.append(beginning)
            shared.append(len(beginnings) - 1)
        return beginnings, shared
