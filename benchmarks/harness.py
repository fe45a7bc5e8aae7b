"""Measuring one benchmark: a pilot chooses each side's settings, then the sides take turns, A B A B."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from benchmarks.catalogue import Benchmark, Side
from benchmarks.load import ALLOWED, Watch, wait_for_quiet
from benchmarks.pilot import LONGEST, choose, spell
from benchmarks.process import SideFailed

REPEATS = 5  # of each side, as far as the time allows
PILOT_SHARE = 0.4  # of the time for taking turns: what choosing settings may take of each side, beyond a run of each


class Measuring(Protocol):
    """What the harness asks of a side's process; tests put others in its place."""

    @property
    def pid(self) -> int: ...

    def __enter__(self) -> Measuring: ...

    def __exit__(self, *_: object) -> None: ...

    def ready(self, limit: float) -> None: ...

    def repeat(self, settings: Mapping[str, Any], limit: float) -> dict[str, Any]: ...


Start = Callable[[Side], Measuring]
Say = Callable[[str], None]


@dataclass
class Repeat:
    """One timed repeat of one side."""

    value: float  # a rate, or what the unit says
    seconds: float
    others: float  # cores that other processes used meanwhile
    row: Mapping[str, Any]

    @property
    def clean(self) -> bool:
        return self.others <= ALLOWED


@dataclass
class Measured:
    """One side's repeats."""

    settings: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    pilot: dict[str, float | str] = field(default_factory=dict)  # what each candidate gave

    @property
    def kept(self) -> list[Repeat]:
        """The undisturbed repeats, or all where there is none."""
        return [r for r in self.repeats if r.clean] or self.repeats

    @property
    def median(self) -> float:
        return statistics.median(r.value for r in self.kept)

    @property
    def noisy(self) -> bool:
        return not any(r.clean for r in self.repeats)

    def summary(self) -> dict[str, Any]:
        values = [r.value for r in self.kept]
        return {
            "median": self.median,
            "low": min(values),
            "high": max(values),
            "repeats": len(values),
            "disturbed": sum(not r.clean for r in self.repeats),
            "others": max(r.others for r in self.kept),
            "settings": dict(self.settings),
            "pilot": self.pilot,
            "info": dict(self.info),
        }


class Player:
    """A side with its process, which is begun when first needed, and anew after it broke. Use as a context manager."""

    def __init__(self, side: Side, start: Start) -> None:
        self.side, self._start = side, start
        self._process: Measuring | None = None
        self._seen: list[Mapping[str, Any]] = []  # what this process ran with

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.__exit__()
        self._process, self._seen = None, []

    @property
    def process(self) -> Measuring:
        """SideFailed: it can't begin."""
        if not self._process:
            self._process = self._start(self.side).__enter__()
            self._process.ready(LONGEST)
        return self._process

    def run(self, settings: Mapping[str, Any], limit: float = LONGEST) -> dict[str, Any]:
        """One repeat. SideFailed: it broke, or took longer than `limit` seconds."""
        if self.side.alone and self._seen and settings not in self._seen:
            self.__exit__()
        try:
            row = self.process.repeat(settings, limit)
        except SideFailed:
            self.__exit__()
            raise
        self._seen.append(settings)
        return row

    def warm(self, settings: Mapping[str, Any], short: Mapping[str, Any]) -> None:
        """A short run that nobody counts, unless this process had one."""
        if not any(dict(seen) | dict(short) == dict(settings) | dict(short) for seen in self._seen):
            self.run(dict(settings) | dict(short))


@dataclass
class Harness:
    """How to measure: the clock's limit, who starts processes, and who is told."""

    start: Start
    say: Say
    minutes: float  # for taking turns
    patience: float = 120.0  # seconds to wait for a quiet machine before each repeat
    repeats: int = REPEATS

    def measure(self, benchmark: Benchmark) -> dict[str, Any]:
        """One line of results. A peer that fails leaves its words; SideFailed: our own side failed."""
        with ExitStack() as stack:
            ours = stack.enter_context(Player(benchmark.ours, self.start))
            playing = [(ours, self._prepared(ours, benchmark))]
            failed = ""
            if benchmark.peer:
                peer = stack.enter_context(Player(benchmark.peer, self.start))
                try:
                    playing.append((peer, self._prepared(peer, benchmark)))
                except SideFailed as error:
                    failed = str(error)
            failed = self._take_turns(benchmark, playing) or failed
        if failed and benchmark.peer:
            self.say(f"{benchmark.name}: {benchmark.peer.label} failed: {failed}")
        kept = next((measured for _, measured in playing[1:] if measured.repeats), None)
        return result(benchmark, playing[0][1], kept, failed)

    def _prepared(self, player: Player, benchmark: Benchmark) -> Measured:
        """The side's best settings, each of which has run at least once, uncounted. SideFailed: none runs."""
        side, who = player.side, player.side.label or "ours"

        def run(settings: Mapping[str, Any], limit: float) -> float:
            try:
                row = player.run(dict(side.settings) | dict(settings) | dict(benchmark.short), limit)
            except SideFailed as error:
                self.say(f"{benchmark.name}: {who} with {spell(settings)} failed: {error}")
                raise
            rate = float(row["work"] / row["seconds"])
            self.say(f"{benchmark.name}: pilot, {who} with {spell(settings)}: {rate:,.4g}")
            return rate

        chosen, found = choose(run, side.choices, time.monotonic() + 60 * self.minutes * PILOT_SHARE)
        measured = Measured(dict(side.settings) | chosen, pilot=found)
        if benchmark.kind != "once":
            player.warm(measured.settings, benchmark.short)
        return measured

    def _take_turns(self, benchmark: Benchmark, playing: Sequence[tuple[Player, Measured]]) -> str:
        """A B A B, each in its own process that lives through all its repeats; at least one turn, whatever the time.

        Returns the words of a peer that failed on the way; ours goes on alone.
        """
        wanted, failed = 1 if benchmark.kind == "once" else self.repeats, ""
        end, left = time.monotonic() + 60 * self.minutes, list(playing)
        for turn in range(wanted):
            begun = time.monotonic()
            for player, measured in list(left):
                try:
                    measured.repeats.append(self._repeat(player, measured, benchmark))
                except SideFailed as error:
                    if measured is playing[0][1]:
                        raise
                    failed = str(error)
                    left.remove((player, measured))
            took = time.monotonic() - begun
            self._tell(benchmark, [m for _, m in left], turn + 1, wanted, took, end)
            if time.monotonic() + took > end:
                break
        return failed

    def _tell(
        self, benchmark: Benchmark, sides: Sequence[Measured], turn: int, wanted: int, took: float, end: float
    ) -> None:
        values = "  ".join(f"{side.repeats[-1].value:,.4g}" for side in sides)
        others = max(side.repeats[-1].others for side in sides)
        left = min((wanted - turn) * took, max(0.0, end - time.monotonic()))
        self.say(
            f"{benchmark.name}: {turn} of {wanted}  {values} {benchmark.unit}  others used {others:.2f} core"
            f"{'' if others <= ALLOWED else ' (disturbed)'}, about {left:.0f} s left"
        )

    def _repeat(self, player: Player, measured: Measured, benchmark: Benchmark) -> Repeat:
        wait_for_quiet(self.patience)
        with Watch(player.process.pid) as watch:
            row = player.run(measured.settings)
        measured.info = row["info"]
        return Repeat(value_of(benchmark, row), float(row["seconds"]), watch.others, row)


def value_of(benchmark: Benchmark, row: Mapping[str, Any]) -> float:
    """A repeat in the benchmark's unit."""
    match benchmark.unit:
        case "GiB":
            return float(row["peak_gib"])
        case "µs/token":
            return 1e6 * float(row["seconds"]) / float(row["work"])
        case _:
            return float(row["work"]) / float(row["seconds"])


def ratio_of(benchmark: Benchmark, ours: float, peer: float) -> float:
    """How many times better we are."""
    return peer / ours if benchmark.less_is_better else ours / peer


def result(benchmark: Benchmark, ours: Measured, peer: Measured | None, failed: str) -> dict[str, Any]:
    """A line of results.json."""
    line: dict[str, Any] = {
        "name": benchmark.name,
        "ours": ours.median,
        "peer": None,
        "unit": benchmark.unit,
        "ratio": None,
        "goal": benchmark.goal,
        "about": benchmark.about,
        "noisy": ours.noisy or bool(peer and peer.noisy),
        "sides": {"ours": ours.summary()},
    }
    if benchmark.peer:
        line["opponent"] = benchmark.peer.label
    if peer:
        line |= {"peer": peer.median, "ratio": ratio_of(benchmark, ours.median, peer.median)}
        line["sides"]["peer"] = peer.summary()
    if failed:
        line["failed"] = failed
    if benchmark.kind == "points":
        line |= points_of(ours)
    return line


def points_of(ours: Measured) -> dict[str, Any]:
    """Medians over repeats of every point of a scaling curve, the predicted ones beside them.

    ours and peer become the cost at the last point and its prediction; the ratio is predicted over measured.
    """
    rows = [repeat.row["points"] for repeat in ours.kept]
    points = []
    for index, first in enumerate(rows[0]):
        costs = [row[index]["cost"] for row in rows]
        points.append({"at": first["at"], "cost": statistics.median(costs), "low": min(costs), "high": max(costs)})
    base = points[0]["cost"] / rows[0][0]["predicted"]
    for index, point in enumerate(points):
        point["predicted"] = base * rows[0][index]["predicted"]
    last = points[-1]
    return {
        "points": points,
        "ours": last["cost"],
        "peer": last["predicted"],
        "ratio": last["predicted"] / last["cost"],
        "opponent": "its own prediction",
    }


def log_of(folder: Path, name: str, side: Side) -> Path:
    """Where a side's process writes what its libraries print."""
    return folder / f"{name.replace('/', '-')}-{side.environment}.log"
