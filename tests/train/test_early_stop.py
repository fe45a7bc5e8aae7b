"""Early stop: ends when it should, keeps the best weights, and is the same after a stop and a resume."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))
from test_loop import OPTIM, Once, Product, metrics, policy, total_of

from heedful.algorithms.lm import lm_objective
from heedful.config import EarlyStop, Optim, Training
from heedful.data.packing import Example, pack
from heedful.errors import InputError, Stopped
from heedful.models.heads import Policy
from heedful.run import Run
from heedful.train import loop
from heedful.train.loop import FitSummary, Step, fit, make_accelerator
from heedful.train.processes import StageAccelerator
from heedful.train.source import PackedSource, packed

LEARN = [Example((1, 5, 6, 7), answer=1), Example((2, 8, 9), answer=1)]
OTHER = [
    Example((1, 9, 8, 5), answer=1),
    Example((3, 4, 11), answer=1),
]  # worse once those are known by heart


def overfit(path: Path, stop_at: int = -1, heldout: bool = True, **early: object) -> tuple[Policy, FitSummary, Run]:
    run = Run(path, "sft", 0)
    settings = {"metric": "heldout/loss", "every": 2, "patience": 3} | early
    training = Training(epochs=60, log_every=7, checkpoint_every=5, early_stop=EarlyStop.model_validate(settings))
    inner = PackedSource(LEARN, run, tokens_per_step=1000, training=training)

    class Source:
        total_steps = inner.total_steps
        state_dict, load_state_dict = inner.state_dict, inner.load_state_dict

        def steps(self, start: int) -> Iterator[Step]:
            for number, step in enumerate(inner.steps(start), start):
                if number == stop_at:
                    run.stopper.signal = signal.SIGTERM
                yield step

    model = policy()
    summary = fit(
        model,
        Source(),
        lm_objective,
        optim={"": Optim(lr=0.02, schedule="constant")},
        training=training,
        run=run,
        accelerator=make_accelerator(training),
        heldout=lambda: packed(OTHER, 64) if heldout else [],
    )
    return model, summary, run


@torch.no_grad()
def loss_of(model: Policy) -> float:
    return float(-model(pack(OTHER)).mean())


def test_it_ends_and_leaves_the_weights_of_the_best_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    model, summary, _ = overfit(tmp_path)
    looks = {row["step"]: row["heldout/loss"] for row in metrics(tmp_path) if "heldout/loss" in row}
    best = min(looks, key=lambda step: looks[step])
    assert list(looks) == list(range(2, best + 7, 2))  # three looks without a better one
    assert summary.steps == best + 6 < 60
    assert loss_of(model) == pytest.approx(looks[best], rel=1e-5)
    assert summary.heldout["heldout/loss"] == pytest.approx(looks[best], rel=1e-5)
    assert looks[best] < looks[best + 6]
    assert any(f"best at step {best}" in line and f"ended at step {best + 6}" in line for line in said)


def test_it_ends_the_same_after_stops(tmp_path: Path) -> None:
    whole, summary, _ = overfit(tmp_path / "whole")
    for at in (0, 3, summary.steps - 3, summary.steps - 1):
        with pytest.raises(Stopped):
            overfit(tmp_path / "broken", at)
    again, repeated, _ = overfit(tmp_path / "broken")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")
    assert summary.steps == repeated.steps
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    finished, third, _ = overfit(tmp_path / "broken")  # nothing is left to do
    assert third.steps == summary.steps
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), finished.parameters(), strict=True))


class Scored(Once):
    """`rollout/score` rises to 3 and stays; logged with each step, and said before it where it was measured there."""

    ahead = True

    def steps(self, start: int) -> Iterator[Step]:
        for number, step in enumerate(super().steps(start), start):
            score = {"rollout/score": min(number, 3.0)}
            yield Step(step.batches, step.count, metrics=score, found=score if self.ahead else {})


@pytest.mark.parametrize(("ahead", "ema", "steps"), [(True, 0.0, 3), (True, 0.9, 3), (False, 0.0, 4)])
def test_any_logged_metric_will_do_and_higher_may_be_better(
    tmp_path: Path, ahead: bool, ema: float, steps: int
) -> None:
    """The look after the third rise is the first without a better value. What was measured before an update is looked
    at before it, and its weights are kept: their own where they were what was measured, also beside an average."""
    training = Training(ema=ema, early_stop=EarlyStop(metric="rollout/score", better="higher", patience=2))
    run, model = Run(tmp_path, "ppo", 0), Product()
    source = Scored([pack([Example((1, 2))])], count=1.0, total=20)
    source.ahead = ahead
    accelerator = make_accelerator(training)
    optim = {"": Optim(lr=0.5, schedule="constant")}
    summary = fit(model, source, total_of, optim=optim, training=training, run=run, accelerator=accelerator)
    assert summary.steps == 6
    assert summary.kept == steps
    assert model.w.item() == pytest.approx(2.0 - steps * 0.5, abs=1e-3)


def test_every_process_ends_where_the_first_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is the second of two, which would go on: the first one's score falls."""

    class Second(StageAccelerator):
        num_processes, process_index = 2, 1

    firsts = iter((5.0, 4.0, 3.0))
    monkeypatch.setattr(
        loop, "broadcast", lambda own: own.new_tensor([next(firsts)]) if own.is_floating_point() else own
    )
    training = Training(early_stop=EarlyStop(metric="rollout/score", better="higher", patience=2))
    source, run = Scored([pack([Example((1, 2))])], count=1.0, total=20), Run(tmp_path, "ppo", 0)
    summary = fit(
        Product(), source, total_of, optim={"": OPTIM}, training=training, run=run, accelerator=Second(training)
    )
    assert (summary.steps, summary.kept) == (3, 0)


def test_an_average_is_what_is_looked_at_and_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, "sft", 0)
    training = Training(epochs=60, ema=0.9, early_stop=EarlyStop(metric="heldout/loss", every=2))
    source = PackedSource(LEARN, run, tokens_per_step=1000, training=training)
    model, accelerator = policy(), make_accelerator(training)
    heldout = packed(OTHER, 64)
    fit(
        model,
        source,
        lm_objective,
        optim={"": OPTIM},
        training=training,
        run=run,
        accelerator=accelerator,
        heldout=lambda: heldout,
    )
    looks = [row["heldout/loss"] for row in metrics(tmp_path) if "heldout/loss" in row]
    assert loss_of(model) == pytest.approx(min(looks), rel=1e-5)


def test_bad_settings_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no 'heldout/los' is logged here; there are heldout/loss"):
        overfit(tmp_path / "1", metric="heldout/los")
    with pytest.raises(InputError, match="no 'reward/mean' is logged here; there are loss, optim/grad_norm"):
        overfit(tmp_path / "2", metric="reward/mean")
    with pytest.raises(InputError, match="this stage has none: set heldout"):
        overfit(tmp_path / "3", heldout=False)
    with pytest.raises(ValidationError, match="differs from run to run"):
        EarlyStop(metric="time/step")
    with pytest.raises(ValidationError, match="differs from run to run"):
        EarlyStop(metric="memory/peak_mb")
    with pytest.raises(ValidationError, match="no metric is named"):
        EarlyStop(patience=5)
