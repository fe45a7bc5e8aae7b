"""Where a run's time goes: its stages by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from heedful.run.manifest import Manifest


@dataclass(frozen=True, slots=True)
class KindTime:
    """All complete stages of one kind: their names, their seconds together, and what share of the run that is."""

    kind: str
    stages: tuple[str, ...]
    seconds: float
    share: float


def stage_times(manifests: Iterable[Manifest]) -> list[KindTime]:
    """The longest kind first."""
    by_kind: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_kind.setdefault(manifest.kind, []).append(manifest)
    sums = {kind: sum(one.seconds for one in own) for kind, own in by_kind.items()}
    total = sum(sums.values()) or 1.0
    found = [
        KindTime(kind, tuple(one.stage for one in own), sums[kind], sums[kind] / total) for kind, own in by_kind.items()
    ]
    return sorted(found, key=lambda time: -time.seconds)
