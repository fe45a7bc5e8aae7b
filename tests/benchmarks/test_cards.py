"""Benchmarks on a card: who is shown one, what they need, and all but the card itself, tried on the processor."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.__main__ import main, start, tiny
from benchmarks.catalogue import BENCHMARKS, CARD, Benchmark, Side, chosen
from benchmarks.harness import ratio_of, value_of
from benchmarks.ours import limit, sampling
from benchmarks.ours.training import stage_config
from benchmarks.process import Worker, environment

from benchmarks import __main__ as command
from benchmarks import material, results
from heedful.config import SFTConfig
from heedful.data.chat import Chat, train_tokenizer


def test_sides_see_one_card_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment("trl", 1)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment("trl", 1, "cuda")["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert environment("ours", 1)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment("ours", 1, "cuda")["CUDA_VISIBLE_DEVICES"] == "2"


def test_both_sides_of_what_is_named_for_a_card_get_one_and_no_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Worker", lambda *given: given)
    for benchmark in BENCHMARKS:
        for side in filter(None, (benchmark.ours, benchmark.peer)):
            wanted = "cuda" if benchmark.name.startswith(CARD) else "cpu"
            assert start(benchmark.name, side, 1)[-1] == wanted, benchmark.name  # type: ignore[index]
            if wanted == "cuda":
                assert side.settings["precision"] == "bfloat16"
                assert all("precision" not in answer for question in side.choices for answer in question)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the command would measure."""
    names: list[str] = []

    def run(chosen: Sequence[Benchmark], options: Any) -> int:
        names.extend(benchmark.name for benchmark in chosen)
        return 0

    monkeypatch.setattr(command, "run", run)
    return names


def call(monkeypatch: pytest.MonkeyPatch, card: str, *words: str) -> int:
    monkeypatch.setattr(results, "card", lambda: card)
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    return main()


def test_without_a_card_its_benchmarks_are_left_out_and_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "", "card/sft", "sft/1m") == 2
    assert measured == []
    told = capsys.readouterr().err
    assert told.startswith("card/sft/0.5b needs an NVIDIA card") and told.count("\n") == 1
    assert call(monkeypatch, "") == 0
    assert measured == [b.name for b in BENCHMARKS if not b.name.startswith(CARD)]
    assert call(monkeypatch, "", "--list") == 0
    listed = capsys.readouterr().out.splitlines()
    assert all(("needs a card" in row) == row.startswith(CARD) for row in listed)


def test_with_a_card_or_a_toy_model_they_are_measured(monkeypatch: pytest.MonkeyPatch, measured: list[str]) -> None:
    assert call(monkeypatch, "a card, 80 GiB", "card/sft") == 0
    assert call(monkeypatch, "", "card/sft", "--tiny") == 0
    assert measured == ["card/sft/0.5b", "card/sft/1.5b"] * 2
    measured.clear()
    assert call(monkeypatch, "a card, 80 GiB") == 0
    assert measured == [benchmark.name for benchmark in BENCHMARKS]


def test_memory_is_the_cards_where_one_is_used(tmp_path: Path) -> None:
    """Of which a task that only counts takes nothing."""
    with Worker("ours", "worker:count", 1, tmp_path / "log", "cuda") as process:
        process.ready(60)
        assert process.repeat({"from": 1, "device": "cuda"}, 60)["peak_gib"] == 0
        assert process.repeat({"from": 1}, 60)["peak_gib"] > 0


@pytest.mark.parametrize(("name", "operations"), [("limit/train/0.5b", 6), ("limit/train/8b", 4)])
def test_the_limits_ratio_is_model_flop_utilisation(
    name: str, operations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (benchmark,) = chosen([CARD + name])
    assert benchmark.peer
    asked: list[tuple[torch.dtype, str]] = []
    monkeypatch.setattr(limit, "parameters", lambda size: 1e9)
    monkeypatch.setattr(limit, "best_rate", lambda *given: asked.append(given) or 6e14)
    most = value_of(benchmark, limit.task(dict(benchmark.peer.settings)).repeat(1))
    assert most == 6e14 / (operations * 1e9)
    assert asked == [(torch.bfloat16, "cuda")]
    assert ratio_of(benchmark, 20_000.0, most) == pytest.approx(operations * 1e9 * 20_000 / 6e14)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Material of the toy model in a place of its own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(material, "FOLDER", tmp_path_factory.mktemp("bench"))
        yield


def tried(side: Side) -> float:
    """Work a second of one repeat, in this process."""
    module, function = side.task.split(":")
    row = getattr(importlib.import_module(f"benchmarks.{module}"), function)(dict(side.settings)).repeat(0)
    return float(row["work"] / row["seconds"])


@pytest.mark.parametrize("name", ["sft/0.5b", "limit/train/8b"])
def test_our_training_runs_on_a_toy_model(name: str, toy: None) -> None:
    (benchmark,) = chosen([CARD + name])
    assert tried(tiny(benchmark).ours) > 0


def test_adapters_learn_where_the_limit_is_theirs(toy: None, tmp_path: Path) -> None:
    for name, rank in (("limit/train/1.5b", 0), ("limit/train/8b", 16)):
        (benchmark,) = chosen([CARD + name])
        config = stage_config(tiny(benchmark).ours.settings, tmp_path)
        assert isinstance(config, SFTConfig) and config.lora.rank == rank


def test_our_sampler_computes_in_bfloat16(toy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (benchmark,) = chosen([f"{CARD}sample/0.5b/uniform"])
    seen: list[str] = []
    make = sampling.make_sampler
    monkeypatch.setattr(
        sampling, "make_sampler", lambda policy, engine: seen.append(engine.precision) or make(policy, engine)
    )
    assert tried(tiny(benchmark).ours) > 0
    assert seen == ["bfloat16"]


def test_models_for_cards_end_as_often_as_asked_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = material.SHAPES["tiny"] | {"heads": 4, "kv_heads": 2}
    monkeypatch.setitem(material.SHAPES, "toy", shape)
    monkeypatch.setitem(material.FOR_CARDS, "toy", shape)
    words = material.made_up_words(700, np.random.default_rng(0))
    chat = Chat(train_tokenizer([" ".join(words)] * 2, 1024))
    lm = material.new_model("toy", chat.tokenizer)
    assert (lm.dtype, lm.config.num_key_value_heads) == (torch.bfloat16, 2)
    for rate in material.END_RATE.values():
        material.set_end_rate(lm, chat.eos_id, rate / material.LONGER)
        with torch.no_grad():
            logits = lm(torch.randint(300, 1024, (4, 32), device=lm.device)).logits
        found = logits.float().softmax(-1)[..., chat.eos_id]
        assert 0.5 * rate < material.LONGER * float(found.median()) < 2 * rate


def test_responses_for_cards_are_longer() -> None:
    drawn = material.lengths(np.random.default_rng(0), 2000, material.LONGER)
    assert min(drawn) >= 8 and max(drawn) == 512
    assert np.median(drawn) == pytest.approx(200, rel=0.1)
