"""The one loop: accumulation changes nothing, stopping and resuming change nothing, what diverges stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.algorithms.lm import lm_objective
from heedful.batches import LossOutput, PackedBatch
from heedful.config import Optim, Training
from heedful.data.packing import Example, pack
from heedful.errors import DivergedError, ResourceError, ResumeError, Stopped
from heedful.models.heads import Policy
from heedful.run import Run, read_metrics
from heedful.train.loop import BatchSource, FitSummary, Step, fit, make_accelerator
from heedful.train.source import PackedSource

OPTIM = Optim(lr=0.01, warmup=2)


def policy() -> Policy:
    torch.manual_seed(0)
    shape = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "pad_token_id": 0}
    return Policy(LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, tie_word_embeddings=True)))


def examples() -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 25, (24,), generator=generator).tolist()
    return [Example(tuple(torch.randint(1, 32, (n,), generator=generator).tolist()), answer=2) for n in lengths]


class Interrupted:
    """A source that pulls the plug, or sends a signal, before some step; its boundaries lie every `boundary` steps."""

    def __init__(self, inner: BatchSource, run: Run, at: int, boundary: int = 1) -> None:
        self.inner, self.run, self.at, self.boundary = inner, run, at, boundary
        self.total_steps = inner.total_steps
        self.memory = 0

    def steps(self, start: int) -> Iterator[Step]:
        for number, step in enumerate(self.inner.steps(start), start):
            if number == self.at:
                signal.raise_signal(signal.SIGTERM)
            self.memory += number
            last = (number + 1) % self.boundary == 0
            yield Step(step.batches, step.count, {"rollout/score": float(number)} if last else {}, last)

    def state_dict(self) -> dict[str, float | int]:
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.memory = int(state["memory"])


def train(path: Path, at: int = -1, boundary: int = 1, **training: Any) -> tuple[Policy, FitSummary, Interrupted]:
    """About 8 steps of several micro-batches; `at`: the step before which SIGTERM comes."""
    run = Run(path, "sft", 0)
    settings = Training(**{"tokens_per_batch": 64, "checkpoint_every": 3, "log_every": 4, "epochs": 3} | training)
    inner = PackedSource(examples(), run, tokens_per_step=110, training=settings)
    assert settings.tokens_per_batch > 64 or any(len(step.batches) > 1 for step in inner.steps(0))
    source, model, accelerator = Interrupted(inner, run, at, boundary), policy(), make_accelerator(settings)
    with run.stopper:
        summary = fit(
            model, source, lm_objective, optim={"": OPTIM}, training=settings, run=run, accelerator=accelerator
        )
    return model, summary, source


def weights(path: Path) -> dict[str, bytes]:
    (folder,) = (path / "checkpoints").glob("step-*")
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}


def metrics(path: Path) -> list[dict[str, Any]]:
    rows = read_metrics(path / "metrics.jsonl")
    return [{key: value for key, value in row.items() if not key.startswith(("time/", "memory/"))} for row in rows]


def test_it_learns_and_says_so(tmp_path: Path) -> None:
    model, summary, source = train(tmp_path, epochs=10)
    rows = metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.1
    assert rows[0]["step"] == 1
    assert rows[-1]["step"] == summary.steps == source.total_steps
    assert rows[0].keys() >= {"loss", "tokens", "optim/lr", "optim/grad_norm"}
    assert rows[0]["optim/lr"] == pytest.approx(0.005)  # the first of two warm-up steps
    assert rows[-1]["tokens"] == summary.tokens == 10 * sum(len(e.ids) for e in examples())
    assert summary.metrics["loss"] == rows[-1]["loss"]
    assert summary.tokens_per_second > 0
    (folder,) = (tmp_path / "checkpoints").iterdir()
    saved = load_file(folder / "model.safetensors")
    assert all(torch.equal(saved[name], parameter) for name, parameter in model.named_parameters())


def test_the_logged_loss_is_the_mean_over_tokens_since_the_last_line(tmp_path: Path) -> None:
    run = Run(tmp_path, "sft", 0)
    before = policy()

    def no_step(model: nn.Module, batch: PackedBatch) -> LossOutput:
        output = lm_objective(model, batch)
        return LossOutput(output.loss * 0, output.count, {"nll": output.loss.detach(), "two": 2 * output.count})

    settings = Training(epochs=1, tokens_per_batch=64, log_every=100)
    source = PackedSource(examples(), run, tokens_per_step=110, training=settings)
    fit(before, source, no_step, optim={"": OPTIM}, training=settings, run=run, accelerator=make_accelerator(settings))
    first, last = metrics(tmp_path)
    steps = list(source.steps(0))
    losses = [sum(-policy()(batch).sum().item() for batch in step.batches) for step in steps]
    assert first["nll"] == pytest.approx(losses[0] / steps[0].count, rel=1e-5)
    assert last["nll"] == pytest.approx(sum(losses[1:]) / sum(step.count for step in steps[1:]), rel=1e-5)
    assert last["two"] == pytest.approx(2.0)
    assert last["loss"] == 0.0


def test_eight_small_batches_equal_one_large(tmp_path: Path) -> None:
    """The gradient is a mean over the step's tokens, however they are split."""
    small, _, _ = train(tmp_path / "small", tokens_per_batch=64)
    large, _, _ = train(tmp_path / "large", tokens_per_batch=4096)
    for one, other in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(metrics(tmp_path / "small"), metrics(tmp_path / "large"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["optim/grad_norm"] == pytest.approx(other["optim/grad_norm"], rel=1e-4)


@pytest.mark.parametrize(("stops", "boundary"), [((0,), 1), ((1, 4), 1), ((2, 3, 6), 1), ((8,), 1), ((1, 5), 3)])
def test_stopped_by_a_signal_and_gone_on_is_never_stopped(
    tmp_path: Path, stops: tuple[int, ...], boundary: int
) -> None:
    _, unbroken, straight = train(tmp_path / "straight", boundary=boundary)
    for at in stops:
        with pytest.raises(Stopped) as stopped:
            train(tmp_path / "broken", at, boundary)
        assert stopped.value.exit_code == 143
        assert (tmp_path / "broken" / "checkpoints").exists(), "the step in hand was lost"
        torch.manual_seed(at + 99)  # junk in the global generators
    _, summary, source = train(tmp_path / "broken", boundary=boundary)
    assert weights(tmp_path / "broken") == weights(tmp_path / "straight")
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")
    assert (summary.steps, summary.tokens) == (unbroken.steps, unbroken.tokens)
    assert source.memory == straight.memory


def test_a_damaged_newest_checkpoint_costs_time_only(tmp_path: Path) -> None:
    train(tmp_path / "straight")
    with pytest.raises(Stopped):
        train(tmp_path / "broken", 6)
    newest = max((tmp_path / "broken" / "checkpoints").glob("step-*"))
    (newest / "optimizer.safetensors").write_bytes(b"")
    train(tmp_path / "broken")
    assert weights(tmp_path / "broken") == weights(tmp_path / "straight")
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")


def test_without_a_sound_checkpoint_it_does_not_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, 1)
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        (folder / "state.json").unlink()
    with pytest.raises(ResumeError):
        train(tmp_path)


def test_finished_means_finished(tmp_path: Path) -> None:
    first, summary, _ = train(tmp_path)
    before = metrics(tmp_path)
    again, repeated, _ = train(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert metrics(tmp_path) == before
    assert (repeated.steps, repeated.tokens, repeated.metrics) == (summary.steps, summary.tokens, summary.metrics)
    assert repeated.tokens_per_second == 0


def test_steps_with_metrics_of_their_own_are_always_logged(tmp_path: Path) -> None:
    train(tmp_path, boundary=3, log_every=1000)
    rows = metrics(tmp_path)
    assert [row["step"] for row in rows if "rollout/score" in row] == [3, 6, 9]
    assert [row["rollout/score"] for row in rows if "rollout/score" in row] == [2.0, 5.0, 8.0]


class Once:
    """A source of one given batch, over and over."""

    def __init__(self, batches: list[PackedBatch], count: float, total: int = 4) -> None:
        self.batches, self.count, self.total_steps = batches, count, total

    def steps(self, start: int) -> Iterator[Step]:
        for _ in range(start, self.total_steps):
            yield Step(self.batches, self.count)

    def state_dict(self) -> dict[str, float | int]:
        return {}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        pass


class Product(nn.Module):
    """One number w; the loss of the objective below is w·a for each item."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0]))

    def forward(self, batch: PackedBatch) -> torch.Tensor:
        return self.w * batch.target_ids


def total_of(model: nn.Module, batch: PackedBatch) -> LossOutput:
    values = model(batch)
    return LossOutput(values.sum(), values.new_tensor(len(values)), {})


def run_once(path: Path, source: Once, objective: Any = total_of, **optim: float) -> Product:
    model, settings = Product(), Training(checkpoint_every=2)
    run = Run(path, "sft", 0)
    chosen = Optim(**{"lr": 0.5, "schedule": "constant"} | optim)
    accelerator = make_accelerator(settings)
    fit(model, source, objective, optim={"": chosen}, training=settings, run=run, accelerator=accelerator)
    return model


def test_the_gradient_is_the_mean_over_the_whole_step_by_hand(tmp_path: Path) -> None:
    """Two micro-batches with targets 3, 5 and 7: loss w·(3+5+7)/3 = 10, gradient 5; Adam then moves w by −lr."""
    batches = [pack([Example((1, 3, 5))]), pack([Example((1, 7))])]
    model = run_once(tmp_path, Once(batches, count=3.0, total=1), clip=1e9)
    (row,) = metrics(tmp_path)
    assert row["loss"] == pytest.approx(10.0)
    assert row["optim/grad_norm"] == pytest.approx(5.0)
    assert model.w.item() == pytest.approx(2.0 - 0.5, abs=1e-4)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state_kept(tmp_path: Path) -> None:
    calls: list[int] = []

    def spoilt(model: nn.Module, batch: PackedBatch) -> LossOutput:
        calls.append(1)
        output = total_of(model, batch)
        return LossOutput(output.loss * (float("nan") if len(calls) == 4 else 1.0), output.count, {})

    with pytest.raises(DivergedError, match=r"not finite at step 4; the checkpoint of step 2 is kept: lower optim\.lr"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=1.0), spoilt)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert folder.name == "step-000002"
    assert load_file(folder / "model.safetensors")["w"].isfinite().all()


def test_a_gradient_that_is_not_finite_stops_too(tmp_path: Path) -> None:
    def steep(model: nn.Module, batch: PackedBatch) -> LossOutput:
        output = total_of(model, batch)
        return LossOutput(torch.sqrt(output.loss - output.loss), output.count, {})  # 0, with gradient ∞·0

    with pytest.raises(DivergedError, match="the gradient is not finite at step 1; no checkpoint was reached"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=1.0), steep)


def test_counts_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="counted 1.0 items in a step of 2"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=2.0))
    with pytest.raises(ValueError, match="nothing to learn from"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=0.0))


def test_short_memory_is_told_with_what_to_lower(tmp_path: Path) -> None:
    def hungry(model: nn.Module, batch: PackedBatch) -> LossOutput:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(ResourceError, match="lower training.tokens_per_batch"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=1.0), hungry)

    def broken(model: nn.Module, batch: PackedBatch) -> LossOutput:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=1.0), broken)


def test_a_step_that_can_not_fit_is_refused_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(model: nn.Module, batch: PackedBatch) -> LossOutput:
        raise AssertionError("the step was begun")

    monkeypatch.setattr("heedful.train.headroom.memory_free_on", lambda _: 1.0)
    with pytest.raises(ResourceError, match="GB are free: .* set lora.rank"):
        run_once(tmp_path, Once([pack([Example((1, 2))])], count=1.0), never)


def test_a_source_may_end_early(tmp_path: Path) -> None:
    class Short(Once):
        def steps(self, start: int) -> Iterator[Step]:
            for number, step in enumerate(super().steps(start), start):
                if number == 3:
                    return
                yield step

    run_once(tmp_path, Short([pack([Example((1, 2))])], count=1.0))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000003"]


def test_bfloat16_is_the_forward_pass_only(tmp_path: Path) -> None:
    model, _, _ = train(tmp_path / "half", precision="bfloat16")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    exact, _, _ = train(tmp_path / "full")
    half, full = metrics(tmp_path / "half"), metrics(tmp_path / "full")
    assert half[-1]["loss"] == pytest.approx(full[-1]["loss"], abs=0.05)
    assert half[-1]["loss"] != full[-1]["loss"]
    batch = pack(examples()[:3])
    model.load_state_dict(exact.state_dict())
    assert torch.equal(model(batch), exact(batch))  # after training no autocast is left on the model
