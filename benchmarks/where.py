"""`python -m benchmarks.where NAME …`: where the time of a training benchmark's own side goes, by kind of operation.

Each kind's share of a stage's wall time, loading and saving left in. What no operation accounts for is Python and
what the process does besides.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import catalogue
from benchmarks.ours.training import stage_config
from heedful.run import Run
from heedful.stages import run_stage

REST = "Python and the rest"
# The first kind that has a word of an operation's name takes it.
KINDS = {
    "attention": ("scaled_dot_product", "flash_attention"),
    "products": ("mm", "linear_pointwise", "matmul", "dot"),
    "log-softmax of the head": ("softmax", "amax", "logsumexp", "gather"),
    "the optimizer": ("adam", "foreach"),
    "rows taken, put and joined": ("index", "select", "cat", "copy", "clone", "embedding", "slice", "split", "scatter"),
    "norms, gates, turns and other sums": (),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__)
    parser.add_argument("names", nargs="+", help="training benchmarks: sft/1m, dpo/15m, grpo/1m/uniform …")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = {name: shares(name, options.precision) for name in options.names}
    print("| kind | " + " | ".join(f"`{name}`" for name in columns) + " |")
    print("|---|" + "--:|" * len(columns))
    for kind in [*KINDS, REST]:
        print(f"| {kind} | " + " | ".join(f"{100 * column[kind]:.0f} %" for column in columns.values()) + " |")


def shares(name: str, precision: str) -> dict[str, float]:
    """Of a stage that has run once before, so that nothing is loaded or compiled for the first time."""
    (benchmark,) = catalogue.chosen([name])
    config = stage_config(dict(benchmark.ours.settings) | {"precision": precision}, Path(tempfile.mkdtemp()))
    for turn in ("once before", "seen"):
        with tempfile.TemporaryDirectory() as folder, profile(activities=[ProfilerActivity.CPU]) as seen:
            begun = time.perf_counter()
            run_stage(config, Run(Path(folder) / turn.replace(" ", "-"), config.name, seed=0))
            whole = time.perf_counter() - begun
    found = dict.fromkeys([*KINDS, REST], 0.0)
    for event in seen.key_averages():
        if event.key.startswith(("aten::", "mkldnn::", "torch_")) or "Adam" in event.key:
            found[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / whole
    found[REST] = max(0.0, 1 - sum(found.values()))
    return found


def kind_of(operation: str) -> str:
    """The first kind with a word that the operation's name has; the last one takes what is left."""
    *named, last = KINDS
    return next((kind for kind in named if any(word in operation for word in KINDS[kind])), last)


if __name__ == "__main__":
    main()
