"""A process that measures one side: `python -m benchmarks.worker module:function '{settings}'`.

It gets ready once (imports, models, data, a first untimed run), then does one timed repeat for each line on its input,
and answers each with one line of JSON. What libraries print goes to its log.
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
    """What a side does. `repeat(number)` gives work and seconds; further keys are kept with the result."""

    repeat: Callable[[int], Mapping[str, Any]]
    info: Mapping[str, Any]  # versions, settings that were used


def peak_gib() -> float:
    """The most memory that this process has held."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**30 if sys.platform == "darwin" else 2**20)


def count(settings: Mapping[str, Any]) -> Task:
    """A task that only counts: for trying the protocol."""
    return Task(lambda number: {"work": number, "seconds": 1.0}, {"threads": os.environ.get("OMP_NUM_THREADS")})


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    sys.modules["benchmarks.worker"] = sys.modules["__main__"]  # one Task, whoever imports it
    name, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings.get("pilot") and "steps" in settings:
        settings["steps"] = 1
    module, function = name.split(":")
    try:
        task: Task = getattr(importlib.import_module(f"benchmarks.{module}"), function)(settings)
        _answer(answers, {"ready": dict(task.info)})
        for number, _ in enumerate(sys.stdin):
            _answer(answers, dict(task.repeat(number)) | {"peak_gib": peak_gib()})
    except Exception as error:  # whatever a library raises is this side's result
        traceback.print_exc()
        _answer(answers, {"failed": f"{type(error).__name__}: {error}".strip()[:600]})
        sys.exit(1)


def _answer(answers: Any, row: Mapping[str, Any]) -> None:
    answers.write(json.dumps(row) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
