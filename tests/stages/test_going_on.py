"""A stopped stage goes on in another manner, where that does not change what is computed, to the same result."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import allclose

sys.path.insert(0, str(Path(__file__).parent))
from every_stage import build, stages

import heedful.stages.sample as sample_stage
from heedful.config import StageConfig
from heedful.data.sources import read_completions
from heedful.errors import ResumeError, Stopped
from heedful.pipeline import run_single
from heedful.run import Manifest
from heedful.train.checkpoint import Checkpoints

OTHERWISE = [
    ("sft", "training.tokens_per_batch", 64),
    ("sft", "training.sharding", "full"),
    ("sft", "training.checkpoint_every", 1),
    ("sft", "training.keep_checkpoints", 1),
    ("sft", "training.gradient_checkpointing", True),
    ("dpo", "training.tokens_per_batch", 64),
    ("ppo", "training.tokens_per_batch", 64),
    ("ppo", "generation.batch", 3),
    ("ppo", "sampler.type", "transformers"),
    ("sample", "generation.batch", 7),
    ("sample", "sampler.type", "transformers"),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("every") / "house")


@pytest.fixture(scope="module")
def whole(house: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each stage, never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return {kind: run_single(stages(house)[kind][0], folder / kind, seed=0) for kind in {row[0] for row in OTHERWISE}}


def changed(config: StageConfig, key: str, value: Any) -> StageConfig:
    section, _, name = key.partition(".")
    given = config.model_dump()
    given[section][name] = value
    return type(config).model_validate(given)


def stop_after_the_first_save(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM once something is there to go on from."""

    def stopping(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def saved(*given: Any) -> Any:
            result = original(*given)
            monkeypatch.setattr(owner, name, original)
            os.kill(os.getpid(), signal.SIGTERM)
            return result

        monkeypatch.setattr(owner, name, saved)

    stopping(Checkpoints, "save")
    stopping(sample_stage._Writer, "_write")


@pytest.mark.parametrize(("kind", "key", "value"), OTHERWISE)
def test_a_stopped_stage_goes_on_otherwise(
    kind: str,
    key: str,
    value: Any,
    house: Path,
    whole: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, _ = stages(house)[kind]
    stop_after_the_first_save(monkeypatch)
    with pytest.raises(Stopped):
        run_single(config, tmp_path, seed=0)
    with pytest.raises(ResumeError, match=r"config.name: .* → other"):
        run_single(config.model_copy(update={"name": "other"}), tmp_path, seed=0)
    otherwise = changed(config, key, value)
    run_single(otherwise, tmp_path, seed=0)
    run_single(config, tmp_path, seed=0)  # complete, whatever the manner
    manifest = Manifest.read(tmp_path)
    section, _, name = key.partition(".")
    assert manifest and manifest.config[section][name] == value
    if kind == "sample":
        one, other = (read_completions(folder / "completions.jsonl") for folder in (whole[kind], tmp_path))
        assert [c.token_ids for c in one] == [c.token_ids for c in other]
        assert [c.prompt for c in one] == [c.prompt for c in other]
        return
    weights = [load_file(folder / "model/model.safetensors") for folder in (whole[kind], tmp_path)]
    assert all(allclose(tensor, weights[1][key], atol=1e-4) for key, tensor in weights[0].items())
