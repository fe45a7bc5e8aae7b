"""Where a run's time and memory go: its stages by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from heedful.run.manifest import Manifest


@dataclass(frozen=True, slots=True)
class KindTime:
    """All complete stages of one kind: their names, their seconds together, what share of the run that is, and the most
    bytes that their process had held when one of them ended (0 where nobody says): by them or by stages before them."""

    kind: str
    stages: tuple[str, ...]
    seconds: float
    share: float
    peak: float


def stage_times(manifests: Iterable[Manifest]) -> list[KindTime]:
    """The longest kind first."""
    by_kind: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_kind.setdefault(manifest.kind, []).append(manifest)
    sums = {kind: sum(one.seconds for one in own) for kind, own in by_kind.items()}
    total = sum(sums.values()) or 1.0
    found = [
        KindTime(kind, tuple(one.stage for one in own), sums[kind], sums[kind] / total, max(one.peak for one in own))
        for kind, own in by_kind.items()
    ]
    return sorted(found, key=lambda time: -time.seconds)


def gigabytes(count: float) -> str:
    """A number of bytes as `2.3 GB`; a dash where nobody says."""
    return f"{count / 1e9:.1f} GB" if count else "–"
