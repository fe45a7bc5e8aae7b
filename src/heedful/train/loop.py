"""The one loop. It knows no algorithm: a source says what each optimizer step is made of, an objective what it costs.

A run that is killed at any moment and started again ends with the weights and metrics (but for `time/*` and `memory/*`)
of one that was never killed, on one machine, version and thread count: data order comes from seeds, the learning rate
from the step, and all else from checkpoints.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isclose, isfinite
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from heedful.batches import Batch, LossOutput, tokens_in
from heedful.config import Optim, Training
from heedful.errors import DivergedError, InputError, ResourceError
from heedful.ops.memory import is_out_of_memory, peak_memory_mb
from heedful.run import Progress, Run, read_metrics
from heedful.train.average import Average
from heedful.train.checkpoint import Checkpoints
from heedful.train.clock import Clock
from heedful.train.early_stop import HELDOUT, Watch
from heedful.train.headroom import Headroom
from heedful.train.optimizer import Optimizer, metric_name
from heedful.train.processes import in_parallel, make_accelerator, whole
from heedful.train.recompute import recomputing
from heedful.train.sharding import Shares
from heedful.train.tally import Tally
from heedful.train.weights import for_file, weights

__all__ = ["BatchSource", "FitSummary", "Objective", "Step", "fit", "make_accelerator"]

Objective = Callable[[nn.Module, Any], LossOutput]  # (model, the source's batches) -> sums over the batch's items


@dataclass
class Step:
    """One optimizer step: micro-batches whose gradients are added."""

    batches: Sequence[Batch]  # on the CPU; at least one, on every rank
    count: float  # this rank's loss items in the whole step
    metrics: Mapping[str, float] = field(default_factory=dict)  # logged as they are
    last_of_boundary: bool = True  # a checkpoint may be taken after it
    found: Mapping[str, float] = field(default_factory=dict)  # what the weights before this step did, for early stop
    clock: Clock | None = None  # of what leads to the next boundary; at the last step before it, it is logged


class BatchSource(Protocol):
    """Where steps come from. `state_dict` is asked for after a step was applied and before the next is drawn."""

    total_steps: int

    def steps(self, start: int) -> Iterator[Step]:
        """The steps from `start` on: those that an unbroken walk would give. It may end before `total_steps`."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class FitSummary:
    """What a stage may tell of its training."""

    steps: int
    tokens: int
    metrics: Mapping[str, float]  # the last line of the log
    tokens_per_second: float  # of this process's part; 0 where nothing was left to do
    heldout: Mapping[str, float]  # of the weights that are kept, on the held-out data; empty where there are none
    kept: int  # the step that these weights are from: the last one, or that of early stop's best look


def fit(
    model: nn.Module,
    source: BatchSource,
    objective: Objective,
    *,
    optim: Mapping[str, Optim],
    training: Training,
    run: Run,
    accelerator: Accelerator,
    heldout: Callable[[], Sequence[Batch]] = tuple,
) -> FitSummary:
    """Train `model` in place, from the newest sound checkpoint on where there is one.

    `optim` has settings by the beginning of parameter names; "" stands for all others. `heldout` gives
    what the objective is measured on and never learns from, the same on every process, which all call it for each look
    with the weights that are looked at: part of it may depend on them. The model ends with the weights that are
    to be saved: the last ones, their average (`training.ema`), or those of the best look (`training.early_stop`).
    Raises DivergedError, ResourceError, ResumeError, InputError where early stop can't be, or Stopped when a signal
    came and everything is saved.
    """
    return _Trainer(model, source, objective, optim, training, run, accelerator, heldout).train()


class _Trainer:
    def __init__(
        self,
        model: nn.Module,
        source: BatchSource,
        objective: Objective,
        optim: Mapping[str, Optim],
        training: Training,
        run: Run,
        accelerator: Accelerator,
        heldout: Callable[[], Sequence[Batch]],
    ) -> None:
        self.model, self.source, self.objective = model, source, objective
        self.training, self.run, self.accelerator = training, run, accelerator
        self.shares: Shares | None = None
        if training.sharding == "full" and accelerator.use_distributed:
            self.shares = accelerator.shares = Shares(model.to(accelerator.device), accelerator)
        self.learner: nn.Module = self.shares.learner if self.shares else model  # whose weights the optimizer changes
        self.wrapped: nn.Module = self.learner if self.shares else in_parallel(model, accelerator)
        self.optimizer = Optimizer(self.learner, optim)
        self.headroom = Headroom(model, training, run.stage, accelerator)
        self.checkpoints = Checkpoints(run, training.keep_checkpoints)
        self.tally = Tally()
        self.heldout = heldout
        self.average = Average(self.learner, training.ema)
        self.watch = Watch(training.early_stop, run)
        self.found: Mapping[str, float] = {}  # what was looked at before the steps that it is logged after
        self.saved = 0  # the step of the newest checkpoint

    def train(self) -> FitSummary:
        done = self.resume()
        begun, tokens = time.monotonic(), self.tally.tokens
        with self.run.stopper.held():
            if not self.watch.over:
                done = self.walk(done)
            if done > self.saved:
                self.save(done)
        if self.run.main:
            self.checkpoints.prune(1)
        self.accelerator.wait_for_everyone()
        speed = (self.tally.tokens - tokens) / max(time.monotonic() - begun, 1e-9)
        self.average.settle()
        self.watch.settle(self.learner, done)
        if self.shares:
            self.shares.fill()
            self.shares = self.accelerator.shares = None
        self.accelerator.wait_for_everyone()  # all have read the best weights
        rows = read_metrics(self.run.metrics.path)
        kept = done if self.watch.seen.step < 0 else self.watch.seen.step
        return FitSummary(done, self.tally.tokens, rows[-1] if rows else {}, speed, self.measure_heldout(), kept)

    def walk(self, done: int) -> int:
        """Steps from `done` on, until the source or early stop ends them. Returns how many are done then."""
        total = self.source.total_steps
        with self.run.progress(self.run.stage, total, done) as progress:
            line = time.monotonic(), done
            if not done and (row := self.due_heldout(0)):
                self.look(0, row, lambda: self.average.chosen)
            for step in self.source.steps(done):
                if step.found:
                    self.found = step.found
                    self.look(done, step.found, lambda: weights(self.learner), whole=False)
                with step.clock.phase("update") if step.clock else nullcontext():
                    asked = self.update(done, step)
                self.average.update(done)
                done += 1
                note, measure = "", self.watch.due(done, total)
                if step.metrics or measure or done % self.training.log_every == 0 or done in (1, total):
                    note = self.log(done, step, (time.monotonic() - line[0]) / (done - line[1]))
                    line = time.monotonic(), done
                progress.advance(note=note)
                if step.last_of_boundary and (asked or done - self.saved >= self.training.checkpoint_every):
                    self.save(done)
                if step.last_of_boundary and asked:
                    self.stop(progress, asked)
                if step.last_of_boundary and self.watch.over:
                    break
        return done

    def resume(self) -> int:
        """Go back to the newest sound checkpoint. Returns how many steps are done."""
        step = self.checkpoints.newest() if self.run.main else 0
        if self.accelerator.num_processes > 1:
            step = int(broadcast(torch.tensor([step], device=self.accelerator.device))[0])
        if self.run.main:
            self.run.metrics.cut_after(step)
        if step:
            state = self.checkpoints.load(step, self.learner, self.optimizer)
            self.headroom.moments = 0.0
            self.source.load_state_dict(state["source"])
            self.tally = Tally.from_state(state["tally"])
            if self.training.ema:
                self.average.load(self.checkpoints.average(step))
            if self.watch.on:
                self.watch.load_state_dict(state["early_stop"])
            self.run.say(f"goes on from step {step} of {self.source.total_steps}")
        self.saved = step
        return step

    def save(self, done: int) -> None:
        state = {"step": done, "source": self.source.state_dict(), "tally": self.tally.state_dict()}
        if self.watch.on:
            state["early_stop"] = self.watch.state_dict()
        self.checkpoints.save(self.learner, self.optimizer, state, self.average.tensors)
        self.saved = done

    def stop(self, progress: Progress, asked: int) -> None:
        """A signal reached one rank or more: all end here, saved."""
        progress.__exit__(None)
        self.accelerator.wait_for_everyone()
        self.run.stopper.signal = self.run.stopper.signal or asked
        self.run.stopper.stop_if_asked()

    def update(self, done: int, step: Step) -> int:
        """One optimizer step. Returns the signal that asked to stop, or 0."""
        tokens = float(sum(tokens_in(batch) for batch in step.batches))
        stopping = self.run.stopper.signal
        total, tokens, interrupt, term = self.over_ranks(
            [step.count, tokens, float(stopping == signal.SIGINT), float(stopping == signal.SIGTERM)]
        )
        if total <= 0:
            raise ValueError(f"step {done} of {self.run.stage} has nothing to learn from")
        self.headroom.must_fit(step.batches)
        torch.manual_seed(self.run.seed_for("torch", done))  # nothing should draw here; what does is named by the step
        try:
            sums = self.backward(step, total)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"{self.run.stage}: memory is short; lower training.tokens_per_batch "
                f"(now {self.training.tokens_per_batch}): the result stays the same"
            ) from None
        count = sums.pop("count")
        if not isclose(count, total, rel_tol=1e-3):
            raise ValueError(f"the objective counted {count} items in a step of {total}")
        norms = {prefix: float(norm) for prefix, norm in self.optimizer.clip().items()}
        self.refuse_non_finite(done, sums["loss"] / total, norms)
        self.optimizer.step(done, self.source.total_steps)
        norms = {metric_name(prefix, "grad_norm"): norm for prefix, norm in norms.items()}
        self.tally.add(tokens=int(tokens), count=total, sums=sums, norms=norms)
        return signal.SIGINT if interrupt else signal.SIGTERM if term else 0

    def backward(self, step: Step, total: float) -> dict[str, float]:
        """Gradients of Σ loss / total over all ranks and micro-batches; returns the sums of loss, count and metrics."""
        scale = self.accelerator.num_processes / total  # data parallel averages over ranks: undo it
        sums: dict[str, Tensor] = {}
        more = self.passes_of_others(len(step.batches)) if self.shares else 0  # asked before: a pass asks others too
        for left, batch in zip(range(len(step.batches) - 1, -1, -1), step.batches, strict=True):
            with self.accelerator.no_sync(self.wrapped) if left and not self.shares else nullcontext():
                self.add_up(self.learn(batch, scale), sums)
        for _ in range(more):
            self.learn(step.batches[-1], 0.0)
        return dict(zip(sums, self.over_ranks(torch.stack(list(sums.values())).tolist()), strict=True))

    def learn(self, batch: Batch, scale: float) -> LossOutput:
        """Add a micro-batch's gradient, scaled."""
        with recomputing(self.learner, self.training.gradient_checkpointing):
            with self.accelerator.autocast():
                output = self.objective(self.wrapped, batch.to(self.accelerator.device))
            self.accelerator.backward(output.loss * scale)
        return output

    def passes_of_others(self, own: int) -> int:
        """How many passes more another process makes in this step: blocks are gathered by all at once or not at all."""
        counts: Tensor = self.accelerator.gather(torch.tensor([own], device=self.accelerator.device))
        return int(counts.max()) - own

    def add_up(self, output: LossOutput, sums: dict[str, Tensor]) -> None:
        """Sums of loss, count and metrics, in float64."""
        for name, value in {"loss": output.loss, "count": output.count, **dict(sorted(output.metrics.items()))}.items():
            value = value.detach().to(self.accelerator.device, torch.float64)
            sums[name] = sums[name] + value if name in sums else value

    @torch.no_grad()
    def measure_heldout(self) -> dict[str, float]:
        """The objective's loss and metrics on the held-out data, if any, of all ranks, by the weights as they are."""
        sums: dict[str, Tensor] = {}
        with whole(self.accelerator):
            if not (batches := self.heldout()):
                return {}
            mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
            for batch in mine or batches[:1]:
                with self.accelerator.autocast():
                    self.add_up(self.objective(self.model, batch.to(self.accelerator.device)), sums)
        if not mine:  # fewer batches than processes: this one only keeps the others company
            sums = {name: torch.zeros_like(value) for name, value in sums.items()}
        found = dict(zip(sums, self.over_ranks(torch.stack(list(sums.values())).tolist()), strict=True))
        count = found.pop("count")
        return {f"{HELDOUT}{name}": value / count for name, value in found.items()}

    def due_heldout(self, done: int) -> dict[str, float]:
        """What early stop wants measured on the held-out data after this many steps, if it is time for it."""
        if not self.watch.due(done, self.source.total_steps):
            return {}
        with self.average.shown():
            found = self.measure_heldout()
        if not found:
            raise InputError(
                f"training.early_stop.metric = {self.watch.config.metric} is measured on held-out data, "
                "and this stage has none: set heldout"
            )
        return found

    def look(
        self, done: int, row: Mapping[str, float], kept: Callable[[], Mapping[str, Tensor]], *, whole: bool = True
    ) -> None:
        """Early stop's look at what was measured of the weights `kept`.

        Some metrics are each process's own, and all must end at the same step: the first one's counts for all.
        """
        name = self.watch.config.metric
        if name in row and self.accelerator.num_processes > 1:
            value = torch.tensor([row[name]], dtype=torch.float64, device=self.accelerator.device)
            row = {**row, name: float(broadcast(value)[0])}
        self.watch.look(done, row, lambda: for_file(kept(), keep=self.run.main), whole=whole)

    def over_ranks(self, values: list[float]) -> list[float]:
        """Sums over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        reduced: list[float] = self.accelerator.reduce(tensor, "sum").tolist()
        return reduced

    def log(self, done: int, step: Step, seconds: float) -> str:
        """Write a line; returns what the progress bar says."""
        row = self.tally.row() | dict(step.metrics) | {"time/step": seconds, "memory/peak_mb": peak_memory_mb()}
        row |= step.clock.row() if step.clock and step.last_of_boundary else {}
        row |= {metric_name(prefix, "lr"): value for prefix, value in self.optimizer.rates.items()}
        row |= self.due_heldout(done)
        if self.watch.config.metric not in self.found:
            self.look(done, row, lambda: self.average.chosen, whole=step.last_of_boundary)
        if self.run.main:
            self.run.metrics.write(done, row)
        return f"loss {row['loss']:.3f}"

    def refuse_non_finite(self, done: int, loss: float, norms: Mapping[str, float]) -> None:
        """Before the update, so that the weights are still good."""
        wrong = [] if isfinite(loss) else ["the loss"]
        wrong += [f"the gradient{f' of {prefix}' if prefix else ''}" for prefix, n in norms.items() if not isfinite(n)]
        if wrong:
            kept = f"the checkpoint of step {self.saved} is kept" if self.saved else "no checkpoint was reached"
            rates = ", ".join(f"{optim.lr:g}" for optim in self.optimizer.optim.values())
            raise DivergedError(
                f"{self.run.stage}: {' and '.join(wrong)} is not finite at step {done + 1}; {kept}: "
                f"lower optim.lr (now {rates}) or optim.clip, and start the stage anew"
            )
