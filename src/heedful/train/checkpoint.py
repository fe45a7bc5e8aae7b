"""Checkpoints that are there whole or not at all, each with the hashes of its files.

    checkpoints/step-000200/  model.safetensors  optimizer.safetensors  state.json  (average.safetensors)

A checkpoint whose hashes do not fit is never loaded: it is renamed `.bad-…`, said aloud, and the one before is tried.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heedful.errors import DivergedError, ResourceError, ResumeError
from heedful.run import Run, atomic_folder, digest
from heedful.train.optimizer import Optimizer
from heedful.train.weights import fits, for_file, put, weights

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
AVERAGE = "average.safetensors"
State = dict[str, Any]
NO_AVERAGE: Mapping[str, Tensor] = {}


class Checkpoints:
    """The checkpoints of one stage. Only rank 0 writes, renames and removes."""

    def __init__(self, run: Run, keep: int) -> None:
        self.run, self.keep, self.folder = run, keep, run.checkpoints

    def save(
        self, model: nn.Module, optimizer: Optimizer, state: State, average: Mapping[str, Tensor] = NO_AVERAGE
    ) -> None:
        """Write the state of step `state["step"]`, with an average of the weights if there is one; drop the oldest.

        All processes call it, since each may hold a share of every tensor.
        """
        groups = {MODEL: weights(model), OPTIMIZER: optimizer.tensors()} | ({AVERAGE: average} if average else {})
        files = {name: for_file(tensors, keep=self.run.main) for name, tensors in groups.items()}
        if self.run.main:
            self._write(state, files)

    def _write(self, state: State, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        step = int(state["step"])
        _refuse_non_finite(self.run.stage, step, files[MODEL])
        try:
            with atomic_folder(self.folder / f"step-{step:06d}") as folder:
                for name, group in files.items():
                    save_file(dict(group), folder / name)
                body = {"state": state, "files": {name: digest(folder / name) for name in files}}
                (folder / STATE).write_text(json.dumps({"sha256": _hash(body)} | body, indent=1), encoding="utf-8")
        except (OSError, SafetensorError) as error:
            size = sum(t.nbytes for group in files.values() for t in group.values()) / 1e6
            raise ResourceError(
                f"{self.folder}: no checkpoint of {size:.0f} MB could be written ({error}); the one before is kept: "
                "free some space, then run the same command again"
            ) from error
        self.prune(self.keep)

    def prune(self, keep: int) -> None:
        """Keep the newest."""
        for old in list(self._all())[keep:]:
            shutil.rmtree(old)

    def newest(self) -> int:
        """The step of the newest sound checkpoint, 0 where training never got to one; a bad one is put aside."""
        for left in self.folder.glob(".step-*"):  # a save that was killed
            shutil.rmtree(left)
        for folder in self._all():
            if not (fault := _fault(folder)):
                return _step_of(folder)
            aside = _free(folder.with_name(f".bad-{folder.name}"))
            folder.rename(aside)
            self.run.say(f"{folder.name} is damaged ({fault}): put aside as {aside.name}, trying the one before")
        if any(self.folder.glob(".bad-*")):
            raise ResumeError(
                f"{self.folder}: no checkpoint is sound, so there is nothing to resume from; "
                f"remove {self.folder} to begin the stage anew"
            )
        return 0

    def load(self, step: int, model: nn.Module, optimizer: Optimizer) -> State:
        """Put a sound checkpoint's weights and optimizer memory in place, and return its state."""
        folder = self.folder / f"step-{step:06d}"
        tensors = load_file(folder / MODEL)
        if not fits(model, tensors):
            raise ResumeError(f"{folder}: was saved by another model; remove {self.folder} to begin the stage anew")
        put(model, tensors)
        optimizer.load(load_file(folder / OPTIMIZER))
        state: State = json.loads((folder / STATE).read_text(encoding="utf-8"))["state"]
        return state

    def average(self, step: int) -> dict[str, Tensor]:
        """The average of the weights in a sound checkpoint."""
        tensors: dict[str, Tensor] = load_file(self.folder / f"step-{step:06d}" / AVERAGE)
        return tensors

    def _all(self) -> Iterator[Path]:
        """From the newest to the oldest."""
        found = [p for p in self.folder.glob("step-*") if p.is_dir() and re.fullmatch(r"step-\d+", p.name)]
        yield from sorted(found, key=_step_of, reverse=True)


def _refuse_non_finite(stage: str, step: int, tensors: Mapping[str, Tensor]) -> None:
    """What is on disk is always good to go on from."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DivergedError(
                f"{stage}: {name} is not finite after step {step}; no checkpoint was written, the last good one is "
                "kept: lower optim.lr, and start the stage anew"
            )


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _free(path: Path) -> Path:
    """The path, or the first `path-2`, `path-3` … that is not taken."""
    taken, number = path, 1
    while taken.exists():
        number += 1
        taken = path.with_name(f"{path.name}-{number}")
    return taken


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _fault(folder: Path) -> str:
    """What is wrong with a checkpoint; empty: nothing."""
    try:
        body = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if body.pop("sha256") != _hash(body):
            return f"{STATE} does not fit its hash"
        for name, expected in body["files"].items():
            if digest(folder / name) != expected:
                return f"{name} does not fit its hash"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{STATE} can't be read"
    return ""
