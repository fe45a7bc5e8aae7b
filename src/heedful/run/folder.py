"""The run folder and its stages: numbered folders, one lock, and what a stage may ask of its run."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from heedful.errors import InputError, InUseError
from heedful.records import Record, to_row
from heedful.run.atomic import METRICS, atomic_text
from heedful.run.metrics import MetricsLog
from heedful.run.progress import Progress, console
from heedful.run.seeds import generator, seed_of
from heedful.run.signals import Stopper

if TYPE_CHECKING:
    import numpy as np

Item = TypeVar("Item")
CACHE, LOCK = ".cache", ".lock"


@dataclass
class Run:
    """One stage's folder and everything a stage needs of the outside: seeds, logs, progress, stopping."""

    path: Path
    stage: str
    seed: int
    stopper: Stopper = field(default_factory=Stopper)
    main: bool = True  # only rank 0 writes and shows
    summary: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.main:
            self.path.mkdir(parents=True, exist_ok=True)

    @property
    def model(self) -> Path:
        """Where a stage leaves its model."""
        return self.path / "model"

    def cache(self, name: str) -> Path:
        """The folder of something that `name`, a hash of all that it hangs on, tells from everything else.

        Cells of a sweep take such folders over from each other.
        """
        return self.path / CACHE / name

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> MetricsLog:
        return MetricsLog(self.path / METRICS)

    def rng(self, purpose: str, step: int = 0, sample: int = 0) -> np.random.Generator:
        """A numpy generator named by (seed, stage, purpose, step, sample)."""
        return generator(self.seed, self.stage, purpose, step, sample)

    def seed_for(self, purpose: str, step: int = 0, sample: int = 0) -> int:
        """A seed for torch, named the same way."""
        return seed_of(self.seed, self.stage, purpose, step, sample)

    def progress(self, what: str, total: int, done: int = 0) -> Progress:
        return Progress(what, total, done=done, show=self.main)

    def say(self, text: str) -> None:
        """One line for the user."""
        if self.main:
            console.print(f"{self.stage:>12} {text}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """`say`, where there is something to say."""
        if text:
            self.say(text)

    def write_records(self, name: str, records: Iterable[Record]) -> Path:
        """A JSONL file in the stage's folder, there whole or not at all."""
        return self.write_rows(name, (to_row(record) for record in records))

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        path = self.path / name
        if self.main:
            atomic_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return path

    def drawn(self, items: Sequence[Item], limit: int, purpose: str) -> list[Item]:
        """At most `limit` of the items, drawn at random, in their order; 0 is all. Says so where some are left."""
        if not limit or limit >= len(items):
            return list(items)
        self.say(f"{limit:,} of {len(items):,} {purpose} drawn at random")
        return [items[i] for i in sorted(int(i) for i in self.rng(purpose).permutation(len(items))[:limit])]


class RunFolder:
    """`runs/<name>/`, held by one process at a time. Use as a context manager to take the lock.

    What it made is gone again where bad input ends the block and nothing else was left in there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None
        self._made: list[Path] = []  # the lock's file and the folders that it stands in, from the inside out

    def __enter__(self) -> Self:
        path = self.root / LOCK
        self._made = [place for place in (path, self.root, *self.root.parents) if not place.exists()]
        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise InUseError(
                f"{self.root}: another run works here ({holder}); wait for it, stop it, or choose another name"
            ) from None
        if not path.exists() or not os.path.samestat(os.fstat(handle), path.stat()):
            os.close(handle)  # whoever held it has just removed it
            return self.__enter__()
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}".encode())
        self._lock = handle
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._lock is None:
            return
        if kind and issubclass(kind, InputError):
            for place in self._made:
                with suppress(OSError):  # not empty
                    place.rmdir() if place.is_dir() else place.unlink()
        os.close(self._lock)  # the kernel drops the lock with the handle, also after SIGKILL
        self._lock = None

    def stage_folder(self, index: int, name: str) -> Path:
        """`03-sample`: numbered so that a listing reads in order."""
        return self.root / f"{index + 1:02d}-{name}"


def stage_folders(root: Path) -> dict[str, Path]:
    """Stage name -> folder, for every numbered folder of a run."""
    folders = sorted(p for p in root.glob("[0-9][0-9]-*") if p.is_dir())
    return {p.name.split("-", 1)[1]: p for p in folders}
