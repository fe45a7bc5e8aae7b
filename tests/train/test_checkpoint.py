"""Checkpoints: whole or not at all, never loaded when damaged, never written when not finite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from heedful.config import Optim
from heedful.errors import DivergedError, ResourceError, ResumeError
from heedful.run import Run
from heedful.train import checkpoint
from heedful.train.checkpoint import Checkpoints
from heedful.train.optimizer import Optimizer

FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


class Tied(nn.Module):
    """Two names for one matrix, a vector, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(3, 4, bias=False)
        self.head = nn.Linear(3, 4)
        self.head.weight = self.embed.weight
        self.register_buffer("seen", torch.zeros(2))


def trained(steps: int = 1) -> tuple[Tied, Optimizer]:
    model = Tied()
    optimizer = Optimizer(model, {"": Optim(lr=0.1)})
    for step in range(steps):
        model.head(torch.ones(3)).square().sum().backward()
        model.seen += 1
        optimizer.step(step, 10)
    return model, optimizer


def saved(run: Run, *steps: int, keep: int = 5) -> Checkpoints:
    checkpoints = Checkpoints(run, keep)
    for step in steps:
        checkpoints.save(*trained(step), {"step": step, "kl": 0.1 * step})
    return checkpoints


def names(run: Run) -> list[str]:
    return sorted(p.name for p in run.checkpoints.iterdir())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(bytes(data))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, "sft", 0)


def test_what_was_saved_comes_back_ties_included(run: Run) -> None:
    saved(run, 3)
    model, optimizer = trained(3)
    fresh, memory = trained(0)
    assert Checkpoints(run, 2).newest() == 3
    state = Checkpoints(run, 2).load(3, fresh, memory)
    assert state == {"step": 3, "kl": 0.1 * 3}
    assert fresh.head.weight is fresh.embed.weight
    assert torch.equal(fresh.head.weight, model.head.weight)
    assert fresh.seen.tolist() == [3.0, 3.0]
    assert memory.tensors().keys() == optimizer.tensors().keys()
    for name, tensor in optimizer.tensors().items():
        assert torch.equal(memory.tensors()[name], tensor)


def test_nothing_saved_means_from_the_beginning(run: Run) -> None:
    assert Checkpoints(run, 2).newest() == 0


def test_the_newest_are_kept(run: Run) -> None:
    saved(run, 1, 2, 10, keep=2)
    assert names(run) == ["step-000002", "step-000010"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "spoil",
    [
        flip,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
    ],
    ids=["flipped bit", "missing", "empty", "cut short"],
)
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_taken(
    run: Run, name: str, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    checkpoints = saved(run, 1, 2)
    spoil(run.checkpoints / "step-000002" / name)
    assert checkpoints.newest() == 1
    assert names(run) == [".bad-step-000002", "step-000001"]
    assert len(said) == 1
    assert name in said[0]


def test_a_changed_number_in_the_state_is_noticed(run: Run) -> None:
    checkpoints = saved(run, 1, 2)
    path = run.checkpoints / "step-000002" / "state.json"
    body = json.loads(path.read_text())
    body["state"]["kl"] = 0.3
    path.write_text(json.dumps(body))
    assert checkpoints.newest() == 1


def test_when_none_is_sound_nothing_begins_anew_by_itself(run: Run) -> None:
    checkpoints = saved(run, 1, 2)
    for folder in run.checkpoints.iterdir():
        flip(folder / "model.safetensors")
    for _ in range(2):  # also when asked again
        with pytest.raises(ResumeError, match="no checkpoint is sound"):
            checkpoints.newest()
    assert names(run) == [".bad-step-000001", ".bad-step-000002"]
    saved(run, 2)
    flip(run.checkpoints / "step-000002" / "model.safetensors")
    with pytest.raises(ResumeError):
        checkpoints.newest()
    assert ".bad-step-000002-2" in names(run)


def test_what_a_killed_save_left_is_swept(run: Run) -> None:
    checkpoints = saved(run, 1)
    (run.checkpoints / ".step-000002.abc").mkdir()
    assert checkpoints.newest() == 1
    assert names(run) == ["step-000001"]


def test_another_models_checkpoint_is_refused(run: Run) -> None:
    saved(run, 1)
    other = nn.Linear(3, 4)
    with pytest.raises(ResumeError, match="saved by another model"):
        Checkpoints(run, 2).load(1, other, Optimizer(other, {"": Optim(lr=0.1)}))


def test_weights_that_are_not_finite_are_never_written(run: Run) -> None:
    checkpoints = saved(run, 1)
    model, optimizer = trained(1)
    with torch.no_grad():
        model.head.bias[2] = float("inf")
    with pytest.raises(DivergedError, match=r"head\.bias is not finite after step 2"):
        checkpoints.save(model, optimizer, {"step": 2})
    assert names(run) == ["step-000001"]


def test_a_full_disk_keeps_the_one_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = saved(run, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        checkpoints.save(*trained(2), {"step": 2})
    assert names(run) == ["step-000001"]
    assert checkpoints.newest() == 1


def test_groups_by_name_have_their_own_rate_clip_and_decay() -> None:
    model = nn.ModuleDict({"policy": nn.Linear(2, 2), "critic": nn.Linear(2, 2)})
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.full_like(parameter, 3.0)
    settings = {"policy.": Optim(lr=0.1, clip=1.0, weight_decay=0.5), "critic.": Optim(lr=0.2, clip=1e9)}
    optimizer = Optimizer(model, settings)
    norms = optimizer.clip()
    assert {prefix: round(float(norm), 4) for prefix, norm in norms.items()} == {"policy.": 7.3485, "critic.": 7.3485}
    assert model["policy"].weight.grad.norm() < 1 < model["critic"].weight.grad.norm()  # √(4·9) = 6
    optimizer.step(0, 10)
    # AdamW's first step is −lr·sign(g), after decay by lr·weight_decay of matrices alone
    torch.testing.assert_close(model["policy"].weight, torch.full((2, 2), 1 - 0.1 * 0.5 - 0.1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model["policy"].bias, torch.full((2,), 1 - 0.1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model["critic"].weight, torch.full((2, 2), 1 - 0.2), rtol=1e-3, atol=1e-3)
    assert model["policy"].weight.grad is None


def test_a_parameter_without_settings_is_an_error() -> None:
    with pytest.raises(ValueError, match="no optimizer settings for parameter weight"):
        Optimizer(nn.Linear(1, 1), {"policy.": Optim(lr=0.1)})
