"""A faulty line in any stage's data: one sentence, nothing left behind, and once it is mended the same command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from every_stage import build, stages
from rl_house import dpo_config

from heedful.config import RewardConfig
from heedful.errors import InputError
from heedful.pipeline import run_single
from heedful.run import Manifest
from heedful.sampling import NativeSampler

READERS = [kind for kind, (_, data) in stages(Path()).items() if data]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("every") / "house")


@contextmanager
def spoilt(path: Path, spoil: Callable[[str], str]) -> Iterator[None]:
    sound = path.read_text()
    path.write_text(spoil(sound))
    yield
    path.write_text(sound)


@pytest.mark.parametrize("kind", READERS)
def test_a_faulty_line_leaves_nothing_and_mended_it_runs(kind: str, house: Path, tmp_path: Path) -> None:
    config, data = stages(house)[kind]
    path = house / f"{data}.jsonl"
    with spoilt(path, lambda text: text.replace("}\n", "\n", 1)), pytest.raises(InputError, match=rf"{path}:1"):
        run_single(config, tmp_path / "out", seed=0)
    assert not list(tmp_path.iterdir())
    run_single(config, tmp_path / "out", seed=0)
    assert Manifest.read(tmp_path / "out")


@pytest.mark.parametrize("kind", ["sample", "ppo", "rl", "evaluate"])
def test_an_overlong_prompt_is_named_with_its_line_before_any_model_answers(
    kind: str, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: object) -> None:
        raise AssertionError("a model has answered")

    monkeypatch.setattr(NativeSampler, "sample", answer)
    config, data = stages(house)[kind]
    path = house / f"{data}.jsonl"
    long = json.dumps({"prompt": "how are you " * 80}) + "\n"
    told = rf"{path}:7: the prompt has \d+ tokens and the context of .* is 64"
    with spoilt(path, lambda text: text + long), pytest.raises(InputError, match=told):
        run_single(config, tmp_path / "out", seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["sft", "reward", "pairwise", "dpo"])
def test_an_overlong_prompt_to_learn_from_is_named_with_its_line(kind: str, house: Path, tmp_path: Path) -> None:
    config, data = stages(house)["reward" if kind == "pairwise" else kind]
    if kind == "pairwise":
        config = RewardConfig.model_validate(config.model_dump() | {"members": 1, "loss": {"type": "pairwise"}})
    path = house / f"{data}.jsonl"
    lines = len(path.read_text().splitlines())
    answer = {"completion": "yes"} if kind == "sft" else {"completions": ["yes", "no"], "ranks": [0, 1]}
    long = json.dumps({"prompt": "how are you " * 80} | answer) + "\n"
    told = rf"{path}:{lines + 1}: the prompt has \d+ tokens and the context of .* is 64"
    with spoilt(path, lambda text: text + long), pytest.raises(InputError, match=told):
        run_single(config, tmp_path / "out", seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_an_overlong_judgement_is_named_with_its_line(loss: str, house: Path, tmp_path: Path) -> None:
    path = house / "rankings.jsonl"
    long = json.dumps({"prompt": "how", "completions": ["yes " * 99, "no"], "ranks": [0, 1]}) + "\n"
    config = dpo_config(house, loss={"type": loss})
    with (
        spoilt(path, lambda text: text + long),
        pytest.raises(InputError, match=rf"\({path}:7\) don't fit the model's"),
    ):
        run_single(config, tmp_path / "out", seed=0)
    assert not list(tmp_path.iterdir())
