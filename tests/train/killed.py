"""Run by test_kill.py in a process of its own: trains in children that die at any moment, and goes on.

Prints one JSON line: for each trial how often it was killed, and whether it ended as an undisturbed run does.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

sys.path.insert(0, str(Path(__file__).parent))
from test_loop import metrics, train, weights

from heedful.run import MetricsLog
from heedful.train import checkpoint
from heedful.train.optimizer import Optimizer

TRIALS = 8


class Moments:
    """Counts the moments at which something happens on disk or to the weights, and dies at one of them."""

    def __init__(self, die_at: int) -> None:
        self.left = die_at

    def die_before(self, owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.pass_by()
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    def pass_by(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        for owner, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree"), (checkpoint, "save_file")):
            self.die_before(owner, name)
        self.die_before(Optimizer, "step")
        self.die_before(Optimizer, "clip")
        write = MetricsLog.write

        def cut_short(log: MetricsLog, step: int, values: Any) -> None:
            if self.left == 1:
                log.path.parent.mkdir(exist_ok=True)
                with log.path.open("a") as file:
                    file.write('{"step": 3, "lo')
            self.pass_by()
            write(log, step, values)

        MetricsLog.write = cut_short  # type: ignore[method-assign]


def child(path: Path, die_at: int) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    Moments(die_at).watch()
    try:
        train(path)
    except BaseException:
        os._exit(1)
    os._exit(0)


def attempt(path: Path, die_at: int, after: float) -> int:
    """One run in a child, killed at a moment or after some seconds. Returns its exit status, −9 when killed."""
    if (pid := os.fork()) == 0:
        child(path, die_at)
    if after:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root: Path) -> None:
    torch.set_num_threads(1)  # children must not wait for threads that a fork leaves behind
    begun = time.monotonic()
    assert attempt(root / "straight", 0, 0.0) == 0
    seconds = time.monotonic() - begun
    choose = random.Random(0)
    results = []
    for trial in range(TRIALS):
        path, killed, status = root / str(trial), 0, -9
        while status == -9:
            by_time = trial % 3 == 2
            die_at = 0 if killed > 2 or by_time else choose.randint(1, 40)
            status = attempt(path, die_at, choose.uniform(0.0, seconds) if by_time and killed < 2 else 0.0)
            killed += status == -9
        same = status == 0 and all(part(path) == part(root / "straight") for part in (weights, metrics))
        left = sorted(p.name for p in (path / "checkpoints").iterdir())
        results.append({"killed": killed, "status": status, "same": same, "left": left})
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
