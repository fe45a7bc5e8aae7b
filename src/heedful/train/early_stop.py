"""Early stopping (Prechelt 1998): training ends when a metric no longer gets better, with the weights of its best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heedful.config import EarlyStop
from heedful.errors import InputError
from heedful.run import Run, atomic_folder
from heedful.train.weights import put

HELDOUT = "heldout/"  # metrics of held-out data, and the same in the objective's own names


@dataclass
class Watched:
    """How a metric has fared."""

    best: float = inf  # as if lower were better
    step: int = -1  # where it was best; −1: not looked at yet
    waited: int = 0  # looks since then


class Watch:
    """Looks at one metric. With no metric named it never stops anything."""

    def __init__(self, config: EarlyStop, run: Run) -> None:
        self.config, self.run = config, run
        self.folder = run.checkpoints / "best"
        self.seen = Watched()

    @property
    def on(self) -> bool:
        return bool(self.config.metric)

    @property
    def over(self) -> bool:
        """Whether training has gone on for long enough without getting better."""
        return self.on and self.seen.waited >= self.config.patience

    def due(self, done: int, total: int) -> bool:
        """Whether held-out data are measured after this many steps."""
        asked = self.on and self.config.metric.startswith(HELDOUT)
        return asked and (done % self.config.every == 0 or done == total)

    def look(
        self, done: int, row: Mapping[str, float], weights: Callable[[], Mapping[str, Tensor]], *, whole: bool
    ) -> None:
        """At a line of the log; keeps the weights where the metric was never better, for which all processes ask.

        whole: a line in which every metric stands. InputError: the metric is not among them.
        """
        name = self.config.metric
        if not self.on:
            return
        if name not in row:
            if whole and self.seen.step < 0:
                known = ", ".join(sorted(key for key in row if not key.startswith(("time/", "memory/"))))
                raise InputError(f"training.early_stop.metric: no '{name}' is logged here; there are {known}")
            return
        value = row[name] if self.config.better == "lower" else -row[name]
        if isfinite(value) and value < self.seen.best:
            self.seen = Watched(value, done)
            kept = dict(weights())
            if self.run.main:
                with atomic_folder(self.folder) as folder:
                    save_file(kept, folder / "model.safetensors")
        else:
            self.seen.waited += 1

    def settle(self, model: nn.Module, done: int) -> None:
        """Give the model the weights of the best look, for good."""
        if self.seen.step < 0:
            return
        best = self.seen.best if self.config.better == "lower" else -self.seen.best
        put(model, load_file(self.folder / "model.safetensors"))
        ended = f"not better in {self.seen.waited} looks, ended at step {done}" if self.over else f"of {done} steps"
        self.run.say(
            f"{self.config.metric} was best at step {self.seen.step} ({best:.4g}; {ended}): its weights are kept"
        )

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.seen)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = Watched(**state)
