"""Models of runs served beside the studio: which are chosen, how a wrong name is told, that they end with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.studio import serving
from heedful.studio.serving import models_of_runs, served


def stage(root: Path, name: str, architecture: str, *, complete: bool = True) -> None:
    model = root / name / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    if complete:
        (root / name / "manifest.json").write_text("{}")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs" / "demo"
    stage(root, "01-pretrain", "LlamaForCausalLM")
    stage(root, "02-sft", "LlamaForCausalLM")
    stage(root, "05-reward", "LlamaForSequenceClassification")
    stage(root, "06-ppo", "LlamaForCausalLM")
    stage(root, "07-dpo", "LlamaForCausalLM", complete=False)
    (root / "08-evaluate").mkdir()
    return root.parent


def test_a_run_gives_what_it_began_from_and_what_it_became(runs: Path) -> None:
    assert list(models_of_runs(runs, ["demo"])) == ["sft", "ppo"]
    assert models_of_runs(runs, ["demo/pretrain"]) == {"pretrain": runs / "demo" / "01-pretrain" / "model"}
    assert list(models_of_runs(runs, ["demo/02-sft", "demo"])) == ["sft", "ppo"]
    there = runs / "demo"
    for text in ("demo/06-ppo/", str(there / "06-ppo"), str(there / "06-ppo" / "model")):
        assert list(models_of_runs(runs, [text])) == ["ppo"]
    assert list(models_of_runs(runs, [str(there)])) == ["sft", "ppo"]
    stage(runs / "other", "01-sft", "LlamaForCausalLM")
    assert list(models_of_runs(runs, ["demo/sft", "other"])) == ["sft", "other/sft"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("none", "holds no model that answers"), ("demo/reward", "it has pretrain, sft, ppo"), ("demo/dpo", "no policy")],
)
def test_what_can_not_be_served_is_told(runs: Path, wanted: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        models_of_runs(runs, [wanted])


def test_the_servers_end_with_the_studio(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = serving.subprocess.Popen

    def sleeping(command: list[str], **more: object) -> object:
        started.append(start(["sleep", "100"]))
        assert command[2:4] == ["heedful", "serve"] and command[4].endswith("model")
        return started[-1]

    monkeypatch.setattr(serving.subprocess, "Popen", sleeping)
    with pytest.raises(KeyboardInterrupt), served(models_of_runs(runs, ["demo"])) as models:
        assert [model.name for model in models] == ["sft", "ppo"] and len({model.url for model in models}) == 2
        assert all(one.poll() is None for one in started)
        raise KeyboardInterrupt
    assert len(started) == 2 and all(one.poll() is not None for one in started)
    for one in started:
        with pytest.raises(ProcessLookupError):
            os.kill(one.pid, 0)
