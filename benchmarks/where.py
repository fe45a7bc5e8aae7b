"""`python -m benchmarks.where [NAME …]`: where the time of a training benchmark's own side goes.

Each kind of operation's share of a stage's wall time, loading and saving left in; what no operation accounts for is
Python, compiled sampling, and what the process does besides. Of stages on policy also each phase's share of its steps.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import catalogue, results
from benchmarks.material import material
from benchmarks.ours.training import behind_the_first, stage_config, updates_of
from heedful.config.recipe import StageConfig
from heedful.run import Run, atomic_text, read_metrics
from heedful.stages import run_stage

NAMES = ("sft/1m", "sft/15m", "dpo/1m", "dpo/15m", "grpo/1m/uniform", "ppo/1m")
BEGIN, END = "<!-- where: written by `python -m benchmarks.where --page` -->", "<!-- end of where -->"
REST = "Python, compiled sampling and the rest"
# The first kind that has a word of an operation's name takes it.
KINDS = {
    "a block's compiled work": ("_Block",),
    "attention": ("scaled_dot_product", "flash_attention"),
    "products": ("mm", "linear_pointwise", "matmul", "dot"),
    "log-softmax of the head": ("softmax", "amax", "logsumexp", "gather"),
    "the optimizer": ("adam", "foreach"),
    "rows taken, put and joined": ("index", "select", "cat", "copy", "clone", "embedding", "slice", "split", "scatter"),
    "norms, gates, turns and other sums": (),
}
PHASES = {
    "sampling": "time/sample",
    "rewards": "time/reward",
    "policy, reference and critic read": "time/forward",
    "advantages": "time/advantage",
    "updates": "time/update",
}
OTHER = "the rest: logging, saving"
Shares = Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"training benchmarks; none: {' '.join(NAMES)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds: dict[str, Shares] = {}
    phases: dict[str, Shares] = {}
    for name in options.names or NAMES:
        (benchmark,) = catalogue.chosen([name])
        settings = settings_of(benchmark)
        material(settings["size"])
        head = f"`{name}`, {settings['precision']}"
        config = stage_config(settings, Path(tempfile.mkdtemp()))
        spent = phases_of(config, updates_of(settings))
        if spent:
            phases[head] = spent
        kinds[head] = kinds_of(config)
    tables = [table("kind of operation", [*KINDS, REST], kinds)]
    tables += [table("phase of a step", [*PHASES, OTHER], phases)] if phases else []
    said = f"On {results.machine()}; {options.threads} threads, {time.strftime('%F')}."
    made = "\n\n".join([*tables, said])
    print(made)
    if options.page:
        page = results.PAGE.read_text(encoding="utf-8")
        atomic_text(results.PAGE, results.with_table(page, made, BEGIN, END))


def settings_of(benchmark: catalogue.Benchmark) -> dict[str, Any]:
    """Its own side's, as the pilot chose them on this machine; in float32 where it never ran."""
    line = next((line for line in results.of_this_machine() if line["name"] == benchmark.name), None)
    return {"precision": "float32"} | dict(line["sides"]["ours"]["settings"] if line else benchmark.ours.settings)


def phases_of(config: StageConfig, updates: int) -> Shares:
    """A first run, so that nothing is loaded or compiled later; where the time of its rollouts behind the first went.

    `updates`: optimizer steps of one rollout. Empty where a stage has no phases.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_stage(config, Run(Path(folder) / "first", config.name, seed=0))
        rows = read_metrics(Path(folder) / "first" / "metrics.jsonl")
    if not any("time/sample" in row for row in rows):
        return {}
    taken = behind_the_first(rows, updates)
    whole = sum(seconds for _, seconds in taken)
    found = {name: sum(row.get(key, 0.0) for row, _ in taken) / whole for name, key in PHASES.items()}
    return found | {OTHER: max(0.0, 1 - sum(found.values()))}


def kinds_of(config: StageConfig) -> Shares:
    """Of a whole stage, under torch's profiler."""
    with tempfile.TemporaryDirectory() as folder, profile(activities=[ProfilerActivity.CPU]) as seen:
        begun = time.perf_counter()
        run_stage(config, Run(Path(folder) / "seen", config.name, seed=0))
        whole = time.perf_counter() - begun
    found = dict.fromkeys(KINDS, 0.0)
    for event in seen.key_averages():
        if event.key.startswith(("aten::", "mkldnn::", "torch_", "_Block")) or "Adam" in event.key:
            found[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / whole
    return found | {REST: max(0.0, 1 - sum(found.values()))}


def kind_of(operation: str) -> str:
    """The first kind with a word that the operation's name has; the last one takes what is left."""
    *named, last = KINDS
    return next((kind for kind in named if any(word in operation for word in KINDS[kind])), last)


def table(title: str, rows: Sequence[str], columns: Mapping[str, Shares]) -> str:
    """Markdown: a column for each benchmark."""
    lines = [f"| {title} | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(f"{100 * shares[row]:.0f} %" for shares in columns.values()) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
