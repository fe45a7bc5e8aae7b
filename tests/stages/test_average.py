"""Averages of models: by hand, of one model with itself, along a line; strangers are refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import BAD, GOOD, build, prompts, write

from heedful.config import Architecture, AverageConfig
from heedful.data.chat import Chat
from heedful.data.ratings import Criterion
from heedful.errors import InputError
from heedful.models.classifiers import STEP_LABELS, criteria_row, draw_heads, new_heads, save_heads
from heedful.models.loading import (
    Affine,
    load_reward_model,
    new_policy,
    reward_from_policy,
    save_policy,
    save_reward_model,
)
from heedful.records import Completion
from heedful.run import Run
from heedful.stages.average import average

SHAPE = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=32, context=64)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("house"))
    chat = Chat.load(folder / "sft")
    save_policy(new_policy(SHAPE, chat, seed=1), chat, folder / "other")
    save_policy(new_policy(SHAPE.model_copy(update={"feedforward": 16}), chat, seed=1), chat, folder / "narrow")
    reward, _ = reward_from_policy(folder / "sft", seed=9)
    save_reward_model(reward, chat, Affine(1.0, 3.0), folder / "reward-9")
    return folder


def made(house: Path, path: Path, *names: str, **settings: object) -> dict[str, torch.Tensor]:
    config = AverageConfig.model_validate({"models": [str(house / name) for name in names], **settings})
    average(config, Run(path, "average", 0))
    return load_file(path / "model" / "model.safetensors")


def tensors(house: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(house / name / "model.safetensors")


def test_a_weighted_mean_of_every_tensor(house: Path, tmp_path: Path) -> None:
    one, two = tensors(house, "sft"), tensors(house, "other")
    half = made(house, tmp_path / "half", "sft", "other")
    beyond = made(house, tmp_path / "beyond", "sft", "other", weights=[-0.5, 1.5])
    assert half.keys() == one.keys()
    for name in one:
        torch.testing.assert_close(half[name], (one[name] + two[name]) / 2)
        torch.testing.assert_close(beyond[name], -0.5 * one[name] + 1.5 * two[name])


def test_of_a_model_with_itself_it_is_that_model(house: Path, tmp_path: Path) -> None:
    same = made(house, tmp_path, "sft", "sft", "sft")
    assert all(torch.equal(same[name], tensor) for name, tensor in tensors(house, "sft").items())


def test_reward_models_get_a_scale_of_their_own(house: Path, tmp_path: Path) -> None:
    shared = {"policy": "sft", "finish": "eos", "token_ids": (), "logprobs": (), "temperature": 1.0}
    samples = [Completion(prompt=prompt, text=text, **shared) for prompt in prompts() for text in (GOOD, BAD)]
    data = write(tmp_path / "completions.jsonl", samples)
    made(house, tmp_path / "scaled", "reward", "reward-9", calibration=[data])
    affine = load_reward_model(tmp_path / "scaled" / "model", device="cpu")[2]
    assert affine not in (Affine(0.2, 0.5), Affine(1.0, 3.0), Affine(0.0, 1.0))
    made(house, tmp_path / "raw", "reward", "reward-9")
    assert load_reward_model(tmp_path / "raw" / "model", device="cpu")[2] == Affine(0.0, 1.0)


def test_calibration_samples_that_do_not_fit_are_left_out(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    samples = [Completion(prompt=prompt, text=text, policy="sft") for prompt in prompts() for text in (GOOD, BAD)] * 9
    data = [write(tmp_path / "fitting.jsonl", samples)]
    long = Completion(prompt=prompts()[0], text="zq" * 200, policy="sft")
    more = [write(tmp_path / "more.jsonl", [*samples, long])]
    scales = []
    for name, paths in (("fitting", data), ("more", more)):
        made(house, tmp_path / name, "reward", "reward-9", calibration=paths)
        scales.append(load_reward_model(tmp_path / name / "model", device="cpu")[2])
    assert scales[0] == scales[1] and "1 of 109 calibration samples" in " ".join(said)


def test_reward_models_of_another_kind_are_refused(house: Path, tmp_path: Path) -> None:
    for name, labels, tokens in (("process", STEP_LABELS, True), ("criteria", ("help", "brief"), False)):
        heads, chat = new_heads(house / "sft", labels, tokens=tokens)
        draw_heads(heads, 0)
        rows = criteria_row([Criterion(label, 0.0, 1.0, 1.0) for label in labels])
        save_heads(heads, chat, Affine(0.0, 1.0), tmp_path / name, **({} if tokens else {"criteria": rows}))
    shutil.copytree(house / "reward", tmp_path / "pairs")
    config = json.loads((tmp_path / "pairs" / "config.json").read_text())
    (tmp_path / "pairs" / "config.json").write_text(json.dumps(config | {"heedful_pairwise": True}))
    told = {
        "process": "judges an answer's steps",
        "criteria": "rates several criteria",
        "pairs": "compares two answers",
    }
    for name, words in told.items():
        with pytest.raises(InputError, match=f"{name}: {words}, so it can't be averaged"):
            made(house, tmp_path / "average", "reward", str(tmp_path / name))


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (("sft", "narrow"), {}, "narrow: is of another shape"),
        (("sft", "reward"), {}, "reward: is a LlamaForSequenceClassification and no LlamaForCausalLM"),
        (("sft", "other"), {"weights": [0.5, 0.6]}, "weights sum to 1.1"),
        (("sft", "other"), {"weights": [1.0]}, "weights has 1 numbers for 2 models"),
    ],
)
def test_what_can_not_be_averaged(
    house: Path, tmp_path: Path, names: tuple[str, ...], settings: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        made(house, tmp_path, *names, **settings)
