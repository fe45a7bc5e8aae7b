"""Measuring one benchmark: a pilot chooses each side's settings, then the sides take turns, A B A B."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.catalogue import Benchmark, Side
from benchmarks.load import ALLOWED, Watch, wait_for_quiet
from benchmarks.process import SideFailed

REPEATS = 5  # of each side, as far as the time allows
PILOT_SHARE = 0.4  # of the time that choosing settings may take
SLOWER = 2.0  # times what another candidate took: enough to know that this one is not the fastest


class Measuring(Protocol):
    """What the harness asks of a side's process; tests put others in its place."""

    @property
    def pid(self) -> int: ...

    def __enter__(self) -> Measuring: ...

    def __exit__(self, *_: object) -> None: ...

    def ready(self, limit: float) -> dict[str, Any]: ...

    def repeat(self, limit: float) -> dict[str, Any]: ...


Start = Callable[[Side, Mapping[str, Any]], Measuring]
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


@dataclass
class Harness:
    """How to measure: the clock's limit, who starts processes, and who is told."""

    start: Start
    say: Say
    minutes: float
    patience: float = 120.0  # seconds to wait for a quiet machine before each repeat
    repeats: int = REPEATS

    def measure(self, benchmark: Benchmark) -> dict[str, Any]:
        """One line of results. A peer that fails leaves its words; SideFailed: our own side failed."""
        end = time.monotonic() + 60 * self.minutes
        pilot_end = time.monotonic() + 60 * self.minutes * PILOT_SHARE
        ours = self._choose(benchmark.ours, benchmark, pilot_end)
        failed = ""
        peer = None
        if benchmark.peer:
            try:
                peer = self._choose(benchmark.peer, benchmark, pilot_end)
            except SideFailed as error:
                failed = str(error)
                self.say(f"{benchmark.name}: {benchmark.peer.label} failed: {failed}")
        if peer:
            failed = self._take_turns(benchmark, ours, peer, end)
        else:
            self._take_turns(benchmark, ours, None, end)
        return result(benchmark, ours, peer if peer and peer.repeats else None, failed)

    def _choose(self, side: Side, benchmark: Benchmark, end: float) -> Measured:
        """The fastest candidate, by one repeat of each; one that fails is out, or takes far longer than another did.

        The first is always tried.
        """
        if len(side.candidates) == 1:
            return Measured(dict(side.settings) | dict(side.candidates[0]))
        tried: dict[str, float | str] = {}
        best: tuple[float, Mapping[str, Any]] | None = None
        limit = 900.0  # seconds
        for number, candidate in enumerate(side.candidates):
            if number and time.monotonic() > end:
                tried[_spell(candidate)] = "not tried: no time"
                continue
            try:
                with self.start(side, dict(side.settings) | dict(candidate) | {"pilot": True}) as worker:
                    worker.ready(900)
                    begun = time.monotonic()
                    row = worker.repeat(limit)
                    limit = min(limit, SLOWER * (time.monotonic() - begun) + 5)
            except SideFailed as error:
                tried[_spell(candidate)] = str(error)
                self.say(f"{benchmark.name}: {side.label or 'ours'} with {_spell(candidate)} failed: {error}")
                continue
            value = row["work"] / row["seconds"]
            tried[_spell(candidate)] = value
            self.say(f"{benchmark.name}: pilot, {side.label or 'ours'} with {_spell(candidate)}: {value:,.4g}")
            if best is None or value > best[0]:
                best = (value, candidate)
        if best is None:
            raise SideFailed("; ".join(f"{name}: {words}" for name, words in tried.items()))
        return Measured(dict(side.settings) | dict(best[1]), pilot=tried)

    def _take_turns(self, benchmark: Benchmark, ours: Measured, peer: Measured | None, end: float) -> str:
        """A B A B, each in its own process that lives through all its repeats; at least one turn, whatever the time.

        Returns the words of a peer that failed on the way; ours goes on alone.
        """
        wanted, failed = 1 if benchmark.kind == "once" else self.repeats, ""
        with ExitStack() as stack:
            workers = [(self._begin(stack, benchmark.ours, ours), ours)]
            if benchmark.peer and peer:
                try:
                    workers.append((self._begin(stack, benchmark.peer, peer), peer))
                except SideFailed as error:
                    failed = str(error)
            for turn in range(wanted):
                begun = time.monotonic()
                for worker, measured in list(workers):
                    try:
                        measured.repeats.append(self._repeat(worker, benchmark))
                    except SideFailed as error:
                        if measured is ours:
                            raise
                        failed = str(error)
                        workers.remove((worker, measured))
                took = time.monotonic() - begun
                self._tell(benchmark, [m for _, m in workers], turn + 1, wanted, took, end)
                if time.monotonic() + took > end:
                    break
        if failed and benchmark.peer:
            self.say(f"{benchmark.name}: {benchmark.peer.label} failed: {failed}")
        return failed

    def _begin(self, stack: ExitStack, side: Side, measured: Measured) -> Measuring:
        worker = stack.enter_context(self.start(side, measured.settings))
        measured.info = worker.ready(900)
        return worker

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

    def _repeat(self, worker: Measuring, benchmark: Benchmark) -> Repeat:
        wait_for_quiet(self.patience)
        with Watch(worker.pid) as watch:
            row = worker.repeat(3600)
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


def _spell(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "its defaults"


def log_of(folder: Path, name: str, side: Side) -> Path:
    """Where a side's process writes what its libraries print."""
    return folder / f"{name.replace('/', '-')}-{side.environment}.log"
