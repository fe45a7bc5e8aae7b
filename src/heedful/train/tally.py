"""What is logged between two lines of the metrics log: sums over items, divided by their count when written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class Tally:
    """Sums since the last line. It stands in every checkpoint, so that a line that spans a resume is the same."""

    tokens: int = 0  # since the stage began; never reset
    steps: int = 0
    count: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)  # of items: divided by `count`
    norms: dict[str, float] = field(default_factory=dict)  # of steps: divided by `steps`

    def add(self, *, tokens: int, count: float, sums: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """One optimizer step."""
        self.tokens += tokens
        self.steps += 1
        self.count += count
        _accumulate(self.sums, sums)
        _accumulate(self.norms, norms)

    def row(self) -> dict[str, float]:
        """The line's values; counting begins anew."""
        row = {name: value / self.count for name, value in self.sums.items()}
        row |= {name: value / self.steps for name, value in self.norms.items()}
        row["tokens"] = self.tokens
        self.steps, self.count, self.sums, self.norms = 0, 0.0, {}, {}
        return row

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(**state)


def _accumulate(into: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        into[name] = into.get(name, 0.0) + value
