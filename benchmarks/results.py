"""The list of results, merged by name, and the tables and figures made of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.catalogue import BENCHMARKS, CARD
from heedful.report.svg import number
from heedful.run import atomic_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: written by `python -m benchmarks` -->", "<!-- end of results -->"
VERSIONS = ("python", "torch", "transformers", "trl", "vllm", "preloaded")  # what the page names of a side
Line = Mapping[str, Any]


@cache
def card() -> str:
    """The NVIDIA card that torch takes first, in words; empty where it finds none."""
    if not torch.cuda.is_available():
        return ""
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"


def machine(device: str = "cpu") -> str:
    """The processor, its cores and what it can do, in words; before it the card, of what was measured on one."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    can = " ".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags)
    memory = Path("/proc/meminfo")
    size = f", {int(memory.read_text().split()[1]) / 2**20:.0f} GiB" if memory.exists() else ""
    model = fields.get("model name", platform.processor() or platform.machine())
    words = f"{model}, {os.cpu_count()} cores{size}{f', {can}' if can else ''}"
    return f"{card()}; {words}" if device == "cuda" else words


def read() -> list[dict[str, Any]]:
    """What was measured so far."""
    lines: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return lines


def of_this_machine() -> list[dict[str, Any]]:
    """What was measured so far on a machine like this one, and on a card like its own."""
    return [line for line in read() if line["machine"] in (machine(), machine("cuda"))]


def merge(lines: Sequence[Line], line: Line) -> list[Line]:
    """The list with one line new or in its old place's stead, in the catalogue's order."""
    order = {benchmark.name: place for place, benchmark in enumerate(BENCHMARKS)}
    kept = [old for old in lines if old["name"] != line["name"]]
    return sorted([*kept, line], key=lambda item: order.get(item["name"], len(order)))


def write(lines: Sequence[Line]) -> None:
    """results.json, the page's table, and the figures."""
    from benchmarks.figures import figures

    atomic_text(RESULTS, json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    links = []
    for name, svg in figures(lines).items():
        path = PAGE.parent / "performance" / f"{name}.svg"
        path.parent.mkdir(exist_ok=True)
        atomic_text(path, svg)
        links.append(f"![{name}](performance/{path.name})")
    atomic_text(PAGE, with_table(PAGE.read_text(encoding="utf-8"), "\n\n".join([table(lines), *links])))


def with_table(page: str, made: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with what is made between two marks. ValueError: the marks are gone."""
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{PAGE}: lacks the marks between which a table stands: {begin} and {end}")
    return f"{head}{begin}\n{made}\n{end}{tail}"


def table(lines: Sequence[Line]) -> str:
    """Markdown: a row a benchmark and a table for each kind of machine, that of the newest line first, cards last."""
    cards = [line for line in lines if line["name"].startswith(CARD)]
    others = [line for line in lines if not line["name"].startswith(CARD)]
    made = _of_processors(others) if others else ["Nothing is measured on this machine yet: run `make bench`."]
    for found in dict.fromkeys(line["machine"] for line in cards):
        made += ["", f"On a card ({found}):", "", _table_of([line for line in cards if line["machine"] == found])]
    return "\n".join(made)


def _of_processors(lines: Sequence[Line]) -> list[str]:
    here = max(lines, key=lambda line: line["when"])["machine"]
    made = [_table_of([line for line in lines if line["machine"] == here]), "", *standing(lines, here)]
    for other in dict.fromkeys(line["machine"] for line in lines if line["machine"] != here):
        made += [
            "",
            f"Not measured on that machine yet, but on another, so not to be compared with the above ({other}):",
        ]
        made += ["", _table_of([line for line in lines if line["machine"] == other])]
    return made


def _table_of(lines: Sequence[Line]) -> str:
    """Of one machine: the rows, and who measured with what."""
    rows = ["| benchmark | ours | peer | | ratio | goal | repeats |", "|---|--:|--:|---|--:|--:|---|"]
    rows += [row(line) for line in lines]
    return "\n".join([*rows, "", *notes(lines)])


def row(line: Line) -> str:
    ours = f"{number(line['ours'])} {_spread(line, 'ours')}".strip()
    peer = f"{number(line['peer'])} {_spread(line, 'peer')}".strip() if line["peer"] is not None else "—"
    ratio = f"{line['ratio']:.2f}" if line["ratio"] is not None else "—"
    if line["ratio"] is not None and line["goal"]:
        ratio = f"**{ratio}**" if line["ratio"] >= line["goal"] else f"{ratio} (short)"
    goal = f"{line['goal']:g}" if line["goal"] else ""
    counts = dict.fromkeys(str(side["repeats"]) for side in line["sides"].values())
    repeats = f"{' and '.join(counts)}{', disturbed' if line['noisy'] else ''}"
    opponent = line.get("opponent", "")
    if begun := line["sides"].get("peer", {}).get("info", {}).get("start_seconds"):
        opponent += f" (start-up of {begun:.0f} s left out)"
    if "failed" in line:
        opponent += f" (failed: {line['failed'][:80]})"
    return f"| `{line['name']}` | {ours} | {peer} | {line['unit']}; {opponent} | {ratio} | {goal} | {repeats} |"


def _spread(line: Line, side: str) -> str:
    """Half the range of the repeats, in per cent of the median."""
    found = line["sides"].get(side)
    if not found or found["repeats"] < 2 or "points" in line:
        return ""
    return f"±{50 * (found['high'] - found['low']) / found['median']:.0f} %"


def notes(lines: Sequence[Line]) -> list[str]:
    """The machine and versions that the figures come from, each once; the settings that the pilots chose."""
    said = dict.fromkeys(f"Machine: {line['machine']}; {line['threads']} threads a side." for line in lines)
    versions: dict[str, None] = {}
    for line in lines:
        for side in line["sides"].values():
            info = {k: v for k, v in side["info"].items() if k in VERSIONS}
            versions |= {f"{package} {version}": None for package, version in info.items()}
    chosen = [_chosen(line) for line in lines]
    return [
        *said,
        f"Versions: {', '.join(sorted(versions))}." if versions else "",
        *(["Settings that each side's pilot chose: " + "; ".join(c for c in chosen if c) + "."] if any(chosen) else []),
    ]


def standing(lines: Sequence[Line], here: str) -> list[str]:
    """How many goals are reached on this machine, by undisturbed figures alone, and what has no figure on it."""
    have = {line["name"]: line for line in lines if line["machine"] == here}
    aims = {benchmark.name: benchmark.goal for benchmark in BENCHMARKS if benchmark.goal}
    sound = [_reached(have[name], goal) for name, goal in aims.items() if name in have and not have[name]["noisy"]]
    names = [benchmark.name for benchmark in BENCHMARKS if benchmark.ours.device == "cpu"]
    missing = ", ".join(f"`{name}`" for name in names if name not in have)
    said = [
        "Values are medians, ± half the range. A ratio in bold reaches its goal. *disturbed*: other processes used "
        "more than 0.15 core, so the figure is worth little.",
        f"Of {len(aims)} goals {len(sound)} have an undisturbed figure and {sum(sound)} are reached by it.",
    ]
    return [*said, f"Not measured yet: {missing}."] if missing else said


def _reached(line: Line, goal: float) -> bool:
    return line["ratio"] is not None and line["ratio"] >= goal


def _chosen(line: Line) -> str:
    """`sft/1m` float32 against bfloat16."""
    words = []
    for side in line["sides"].values():
        keys = {key for name in side["pilot"] for key in (part.split(" ")[0] for part in name.split(", "))}
        words.append(", ".join(_setting(k, side["settings"][k]) for k in sorted(keys) if k in side["settings"]))
    return f"`{line['name']}` {' against '.join(words)}" if any(words) else ""


def _setting(key: str, value: Any) -> str:
    return str(value) if key == "precision" else f"{key} {value}"
