"""Counting over a file's sound rows: what repeats, what contradicts, which answers win."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from heedful.data.formats import Format
from heedful.records import Completion, Demonstration, Labelled, Messages, Prompt, Ranking, Rating, StepLabels

Checked = Prompt | Demonstration | Completion | Labelled | Ranking | Rating | StepLabels | Messages | str


@dataclass(slots=True)
class Tally:
    """What is counted over a file's sound rows. Texts are held as hashes."""

    formats: set[Format] = field(default_factory=set)
    sound: int = 0
    repeated: int = 0
    open_ended: int = 0
    seen: set[bytes] = field(default_factory=set)
    prompts: set[bytes] = field(default_factory=set)
    orders: set[tuple[bytes, bytes]] = field(default_factory=set)  # (better, worse), prompt included
    lengths: list[int] = field(default_factory=list)
    pairs: int = 0
    unequal: int = 0
    longer: int = 0

    def add(self, record: Checked) -> None:
        """Count one sound row."""
        self.sound += 1
        key = _hash(record)
        self.repeated += key in self.seen
        self.seen.add(key)
        match record:
            case Prompt():
                self.open_ended += 1
                self.prompts.add(_hash(record.messages))
            case Demonstration() | Completion() | Labelled():
                self.prompts.add(_hash(record.prompt.messages))
                self.lengths.append(len(record.text if isinstance(record, Completion) else record.completion))
            case Ranking():
                self.prompts.add(_hash(record.prompt.messages))
                self.lengths += map(len, record.completions)
                self._add_pairs(record)
            case Rating():
                self.prompts.add(_hash(record.prompt.messages))
                self.lengths.append(len(record.completion))
            case StepLabels():
                self.prompts.add(_hash(record.prompt.messages))
                self.lengths.append(sum(map(len, record.steps)))
            case str():
                self.lengths.append(len(record))

    def _add_pairs(self, ranking: Ranking) -> None:
        for better, worse, tie in ranking.pairs():
            if tie:
                continue
            good, bad = ranking.completions[better], ranking.completions[worse]
            here = ranking.prompt.messages
            self.orders.add((_hash((here, good)), _hash((here, bad))))
            self.pairs += 1
            self.unequal += len(good) != len(bad)
            self.longer += len(good) > len(bad)

    @property
    def conflicts(self) -> float:
        """Share of the different decided pairs that stand in both orders."""
        both = sum((worse, better) in self.orders for better, worse in self.orders) / 2
        return both / (len(self.orders) - both) if self.orders else 0.0


def _hash(value: object) -> bytes:
    return hashlib.blake2b(repr(value).encode(errors="replace"), digest_size=12).digest()
