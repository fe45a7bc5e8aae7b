"""A process that measures one side: `python -m benchmarks.worker module:function`.

It imports what it needs, then reads settings from its input, a line of JSON for each timed repeat, and answers each
with one line of JSON. Models and data are loaded where settings come for the first time, and kept. What libraries print
goes to its log.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Task:
    """What a side does with given settings. `repeat(number)` gives work and seconds; the first one is never counted.

    Further keys that it gives are kept with the result.
    """

    repeat: Callable[[int], Mapping[str, Any]]
    info: Mapping[str, Any]  # versions, settings that were used


def peak_gib(device: str) -> float:
    """The most memory that this process has held, of the card where it computes on one."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**30 if sys.platform == "darwin" else 2**20)


LOADED: list[int] = []  # by `count`


def count(settings: Mapping[str, Any]) -> Task:
    """A task that only counts, from a number on: for trying the protocol."""
    LOADED.append(settings["from"])
    info = {"threads": os.environ.get("OMP_NUM_THREADS"), "loaded": len(LOADED)}
    return Task(lambda number: {"work": settings["from"] + number, "seconds": 1.0}, info)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    sys.modules["benchmarks.worker"] = sys.modules["__main__"]  # one Task, whoever imports it
    module, function = sys.argv[1].split(":")
    tasks: dict[str, Task] = {}
    try:
        make = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        _answer(answers, {"ready": True})
        for number, line in enumerate(sys.stdin):
            settings = json.loads(line)
            if line not in tasks:
                tasks[line] = make(settings)
            row = dict(tasks[line].repeat(number))
            peak = peak_gib(settings.get("device", "cpu"))
            _answer(answers, row | {"info": dict(tasks[line].info), "peak_gib": peak})
    except Exception as error:  # whatever a library raises is this side's result
        traceback.print_exc()
        _answer(answers, {"failed": f"{type(error).__name__}: {error}".strip()[:600]})
        sys.exit(1)


def _answer(answers: Any, row: Mapping[str, Any]) -> None:
    answers.write(json.dumps(row) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
