"""How much of the machine others use: what a figure taken beside them is worth."""

from __future__ import annotations

import time

import psutil

ALLOWED = 0.15  # cores that other processes may use


def busy_seconds() -> float:
    """Processor seconds that the whole machine has spent, stolen ones among them."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


def seconds_of(pid: int) -> float:
    """Processor seconds of a process and all that it started and that live."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in family:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


class Watch:
    """Cores that processes other than `pid` used while it ran. Use as a context manager, then read `others`."""

    def __init__(self, pid: int) -> None:
        self.pid, self.others = pid, 0.0

    def __enter__(self) -> Watch:
        self._begun, self._busy, self._mine = time.monotonic(), busy_seconds(), seconds_of(self.pid)
        return self

    def __exit__(self, *_: object) -> None:
        elapsed = max(time.monotonic() - self._begun, 1e-6)
        mine = seconds_of(self.pid) - self._mine
        self.others = max(0.0, (busy_seconds() - self._busy - mine) / elapsed)


def wait_for_quiet(patience: float) -> float:
    """Wait until the machine uses no more than ALLOWED, at most `patience` seconds. Returns what it uses."""
    end = time.monotonic() + patience
    while True:
        begun, busy = time.monotonic(), busy_seconds()
        time.sleep(1.0)
        used = (busy_seconds() - busy) / (time.monotonic() - begun)
        if used <= ALLOWED or time.monotonic() >= end:
            return used
