"""Where an iteration's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what the block takes to this phase, but for what phases inside of it take."""
        begun, others = time.perf_counter(), sum(self.seconds.values())
        yield
        inside = sum(self.seconds.values()) - others
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun - inside

    def row(self) -> dict[str, float]:
        """As metrics."""
        return {f"time/{name}": seconds for name, seconds in self.seconds.items()}
