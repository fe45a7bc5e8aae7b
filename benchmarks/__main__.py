"""`python -m benchmarks`: both sides of every benchmark, or of those named, in turn; results merged by name."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import catalogue, results
from benchmarks.catalogue import Benchmark, Side
from benchmarks.harness import Harness, log_of
from benchmarks.material import FOLDER, material
from benchmarks.process import SideFailed, Worker

LOGS = FOLDER / "logs"


def main() -> int:
    """0: all measured; 1: one of ours failed; 2: a name that is none, or that needs a card where there is none."""
    options = parse()
    try:
        chosen = catalogue.chosen(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    absent = [] if options.tiny or results.card() else [b for b in chosen if b.ours.device == "cuda"]
    if options.list:
        show(chosen, absent, options.minutes)
        return 0
    if absent and options.only:
        print(
            f"{absent[0].name} needs an NVIDIA card, and torch finds none here: leave it out, or try it on the "
            "processor with --tiny",
            file=sys.stderr,
        )
        return 2
    chosen = [benchmark for benchmark in chosen if benchmark not in absent]
    if options.missing:
        have = {line["name"] for line in results.of_this_machine() if not line["noisy"]}
        chosen = [benchmark for benchmark in chosen if benchmark.name not in have]
    if options.page:
        results.write(results.read())
        return 0
    return run(chosen, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "only", nargs="*", help="names, their beginnings (sft) or patterns (sample/*/skewed); none: all"
    )
    parser.add_argument("--only", dest="more", action="append", default=[], help="the same, as an option")
    parser.add_argument("--list", action="store_true", help="names, goals, what was found so far and how long it takes")
    parser.add_argument("--missing", action="store_true", help="only what has no undisturbed result here yet")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="for each benchmark's turns at most, about (default 8)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats of each side (default 5)")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for a quiet machine (default 60)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each side (default: all cores)")
    parser.add_argument("--tiny", action="store_true", help="on a toy model, to try the machinery; nothing is kept")
    parser.add_argument(
        "--page", action="store_true", help="write docs/performance.md from the results; measures nothing"
    )
    options = parser.parse_args()
    options.only += options.more
    return options


def show(chosen: Sequence[Benchmark], absent: Sequence[Benchmark], minutes: float) -> None:
    """absent: those of them that lack a card here."""
    print(results.machine())
    found = {line["name"]: line for line in results.read()}
    for benchmark in chosen:
        line = found.get(benchmark.name, {})
        ratio = f"{line['ratio']:.2f}" if line.get("ratio") is not None else "-"
        state = " disturbed" if line.get("noisy") else ""
        state += " elsewhere" if line and line["machine"] != results.machine(benchmark.ours.device) else ""
        state += " needs a card" if benchmark in absent else ""
        goal = f"{benchmark.goal:g}" if benchmark.goal else "-"
        print(f"{benchmark.name:28} goal {goal:>4}  found {ratio:>6}{state}  {benchmark.about}")
    measurable = [benchmark for benchmark in chosen if benchmark not in absent]
    print(f"all that can be measured here take about {expected(measurable, minutes) / 60:.0f} min")


def run(chosen: Sequence[Benchmark], options: argparse.Namespace) -> int:
    """Measure one after the other; each result is on disk before the next begins."""
    failures = []
    say(f"on {results.machine()}: {len(chosen)} benchmarks, about {expected(chosen, options.minutes) / 60:.0f} min")
    for place, benchmark in enumerate(chosen):
        benchmark = tiny(benchmark) if options.tiny else benchmark
        for size in ("tiny", "1m") if options.tiny else sizes(benchmark):
            material(size)
        left = expected(chosen[place:], options.minutes) / 60
        say(f"{benchmark.name}: {benchmark.about} [{place + 1} of {len(chosen)}, about {left:.0f} min left]")
        begun = time.monotonic()
        harness = Harness(
            start=lambda side, name=benchmark.name: start(name, side, options.threads),  # type: ignore[misc]
            say=say,
            minutes=options.minutes,
            patience=options.patience,
            repeats=options.repeats,
        )
        try:
            line = harness.measure(benchmark)
        except SideFailed as error:
            failures.append(benchmark.name)
            say(f"{benchmark.name}: ours failed: {error}")
            continue
        took = round(time.monotonic() - begun)
        line |= {"machine": results.machine(benchmark.ours.device), "threads": options.threads}
        line |= {"when": time.strftime("%F %T"), "took": took}
        say(sentence(line))
        if not options.tiny:
            results.write(results.merge(results.read(), line))
    if failures:
        say(f"not measured: {', '.join(failures)}; logs are in {LOGS}")
    return 1 if failures else 0


def start(name: str, side: Side, threads: int) -> Worker:
    return Worker(side.environment, side.task, threads, log_of(LOGS, name, side), side.device)


def sizes(benchmark: Benchmark) -> list[str]:
    """The models that a benchmark needs."""
    if benchmark.name == "scaling/parameters":
        return ["1m", "15m", "110m"]
    return [str(benchmark.ours.settings["size"])]


def tiny(benchmark: Benchmark) -> Benchmark:
    """The same on a toy model and the processor, with few short answers."""
    small = {"size": "tiny", "answer": 16, "episodes": 16, "rows": 8, "steps": 1, "device": "cpu"}

    def shrink(side: Side) -> Side:
        changed = {key: value for key, value in small.items() if key in side.settings or key == "size"}
        return replace(side, settings=dict(side.settings) | changed)

    peer = shrink(benchmark.peer) if benchmark.peer else None
    return replace(benchmark, ours=shrink(benchmark.ours), peer=peer, short={})


def expected(chosen: Sequence[Benchmark], minutes: float) -> float:
    """Seconds that these take: what each took last, or what it is allowed where it was never measured."""
    took = {line["name"]: line["took"] for line in results.read() if "took" in line}
    return sum(took.get(benchmark.name, 60 * minutes) for benchmark in chosen)


def sentence(line: Mapping[str, Any]) -> str:
    if line["ratio"] is None:
        return f"{line['name']}: {line['ours']:,.4g} {line['unit']}"
    goal = f", goal {line['goal']:g}" if line["goal"] else ""
    noise = "; disturbed: other processes used more than 0.15 core" if line["noisy"] else ""
    return (
        f"{line['name']}: {line['ours']:,.4g} against {line['peer']:,.4g} {line['unit']} of {line['opponent']}: "
        f"{line['ratio']:.2f} times{goal}{noise}"
    )


def say(text: str) -> None:
    print(f"{time.strftime('%T')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
