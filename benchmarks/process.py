"""Starting a side's process in its environment and talking with it, a line of JSON at a time."""

from __future__ import annotations

import json
import os
import platform
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import psutil

from benchmarks.catalogue import Environment

ROOT = Path(__file__).parents[1]
PYTHON: Mapping[str, Path] = {
    "ours": Path(sys.executable),
    "trl": ROOT / ".bench-venv/bin/python",
    "trl-1.12": ROOT / ".bench-venv/bin/python",
    "vllm": ROOT / ".vllm-venv/bin/python",
}
TRL_WITH_PPO = ROOT / ".bench-venv/trl-1.12"
LIBRARIES = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")


class SideFailed(Exception):
    """A side can't be measured: why, in its own words."""


def environment(side: Environment, threads: int, device: str = "cpu") -> dict[str, str]:
    """The same threads for both; nothing is fetched; each side finds its own library, and one card or none."""
    paths = {"ours": [str(ROOT / "src")], "trl-1.12": [str(TRL_WITH_PPO)]}.get(side, [])
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    trl = {"TRL_EXPERIMENTAL_SILENCE": "1", "WANDB_DISABLED": "true"}
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # of several TRL's trainer would take all
    card = {"CUDA_VISIBLE_DEVICES": first if device == "cuda" else ""}
    return os.environ | counts | quiet | trl | card | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def preloaded(python: Path, system: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """What vLLM's manual has a user preload for its speed on processors: tcmalloc and, on x86, Intel's OpenMP.

    SideFailed: one isn't there. Without them the engine runs too, but slower than its users run it.
    """
    home = python.parents[1]
    bundled = f"{home}/lib/python3*/site-packages/vllm/libs"
    wanted = {"libtcmalloc*.so*": ((bundled, *system), "apt-get install libtcmalloc-minimal4")}
    if platform.machine() in ("x86_64", "AMD64"):
        wanted["libiomp5.so"] = ((f"{home}/lib",), "pip install intel-openmp into its environment")
    paths = []
    for pattern, (folders, mend) in wanted.items():
        found = sorted(path for folder in folders for path in glob(f"{folder}/{pattern}"))
        if not found:
            raise SideFailed(f"{pattern} is not installed, which vLLM is to be run with on processors: {mend}")
        paths.append(min(found, key=lambda path: ("minimal" not in path, path)))
    return {"LD_PRELOAD": os.pathsep.join(paths)}


class Worker:
    """One side's process. Use as a context manager: it is ended with the block."""

    def __init__(self, side: Environment, task: str, threads: int, log: Path, device: str = "cpu") -> None:
        python = PYTHON[side]
        if not python.exists():
            raise SideFailed(f"its environment {python.parents[1].name} is not installed: run `make bench` once")
        more = preloaded(python) if side == "vllm" else {}
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._scratch = TemporaryDirectory(prefix="side-", dir=log.parent, ignore_cleanup_errors=True)
        with log.open("w") as words:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", task],
                cwd=ROOT,
                env=environment(side, threads, device) | more | {"TMPDIR": self._scratch.name},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in psutil.Process(self.pid).children(recursive=True) if self._process.poll() is None else []:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.kill()  # it holds nothing that is worth a slow farewell
        self._process.communicate()
        self._scratch.cleanup()

    def ready(self, limit: float) -> None:
        """Wait until it has imported what it needs. SideFailed: it could not within `limit` seconds."""
        self._answer(limit)

    def repeat(self, settings: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """One timed repeat with these settings, which are made ready before it where they are new."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(dict(settings)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SideFailed(f"ended by itself: {self._last_words()}") from None
        return self._answer(limit)

    def _answer(self, limit: float) -> dict[str, Any]:
        assert self._process.stdout
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            begun = time.monotonic()
            if not waiting.select(limit):
                self._process.kill()
                raise SideFailed(f"gave no answer within {time.monotonic() - begun:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise SideFailed(f"ended by itself: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise SideFailed(answer["failed"])
        return answer

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"
