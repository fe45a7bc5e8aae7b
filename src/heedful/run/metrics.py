"""metrics.jsonl: one line a logged step, cut back to the checkpoint on resume so that nothing is twice there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heedful.run.atomic import atomic_text


class MetricsLog:
    """Appends lines; `time/*` and `memory/*` values are the only ones that may differ between two equal runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, step: int, values: Mapping[str, float]) -> None:
        row: dict[str, Any] = {"step": step}
        row |= {name: (value if math.isfinite(value) else None) for name, value in sorted(values.items())}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def cut_after(self, step: int) -> None:
        """Drop the lines of later steps, and a line that a crash cut short."""
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_text(encoding="utf-8").splitlines() if _step(line) <= step]
        atomic_text(self.path, "".join(line + "\n" for line in kept))  # a kill meanwhile must not lose the kept ones


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics log; an empty list where there is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step(line) < math.inf]
