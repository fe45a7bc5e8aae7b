"""The sample stage on a tiny model: what it writes, that the trainer agrees, and that a broken run ends the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

import heedful.stages.sample as stage
from heedful.config import Architecture, Generation, SampleConfig
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import pack
from heedful.data.sources import read_completions
from heedful.errors import DivergedError, InputError, Stopped
from heedful.models.loading import load_policy, new_policy, save_policy
from heedful.records import Message, Prompt, to_row
from heedful.run import Run

QUESTIONS = ["how are you", "what is it", "who goes there", "is it late", "where is home", "why so slow", "and now"]


def prompts(texts: Iterable[str]) -> list[Prompt]:
    return [Prompt(id=str(i), messages=(Message("user", text),), meta={"slot": i}) for i, text in enumerate(texts)]


def write(path: Path, records: list[Prompt]) -> str:
    path.write_text("".join(json.dumps(to_row(record)) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sft") / "model"
    chat = Chat(train_tokenizer(QUESTIONS * 3, 300))
    shape = Architecture(vocabulary=300, hidden=16, layers=2, heads=2, kv_heads=1, feedforward=32, context=48)
    policy = new_policy(shape, chat, seed=0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(10.0 if parameter.dim() == 2 else 1.0)  # far from uniform
    save_policy(policy, chat, folder)
    return str(folder)


@pytest.fixture
def config(model: str, tmp_path: Path) -> SampleConfig:
    path = write(tmp_path / "prompts.jsonl", prompts(QUESTIONS))
    generation = Generation(max_new_tokens=8, batch=4, temperature=0.7)
    return SampleConfig(model=model, prompts=path, completions=3, generation=generation, policy="tiny")


def test_candidates_stand_in_order_with_tokens_that_the_trainer_scores_alike(
    config: SampleConfig, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", "sample", 7)
    stage.sample(config, run)
    completions = read_completions(run.path / "completions.jsonl")
    assert [c.prompt for c in completions] == [p for p in prompts(QUESTIONS) for _ in range(3)]
    assert {c.policy for c in completions} == {"tiny"}
    assert {c.temperature for c in completions} == {0.7}
    assert len({c.token_ids for c in completions}) > 15, "candidates should differ"
    policy, chat = load_policy(config.model, device="cpu")
    assert [c.text for c in completions] == [chat.decode(c.token_ids) for c in completions]
    for c in completions:
        assert (c.finish == "eos") == (c.token_ids[-1] == chat.eos_id)
        assert c.finish == "eos" or len(c.token_ids) == 8
    examples = [chat.example_ids(chat.prompt_ids(c.prompt.messages), c.token_ids) for c in completions]
    with torch.no_grad():
        trainer = policy(pack(examples), 0.7).tolist()
    assert [value for c in completions for value in c.logprobs] == pytest.approx(trainer, abs=1e-4)


def test_summary_counts_what_is_in_the_file(config: SampleConfig, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", "sample", 7)
    stage.sample(config, run)
    completions = read_completions(run.path / "completions.jsonl")
    assert run.summary["completions"] == 21
    assert run.summary["tokens"] == sum(len(c.token_ids) for c in completions)
    assert run.summary["mean_length"] == pytest.approx(run.summary["tokens"] / 21)
    assert run.summary["eos_rate"] == pytest.approx(sum(c.finish == "eos" for c in completions) / 21)
    assert 0 <= run.summary["sampler_gap"] < 1e-4


def test_seed_decides(config: SampleConfig, tmp_path: Path) -> None:
    texts = []
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        stage.sample(config, Run(tmp_path / folder, "sample", seed))
        texts.append((tmp_path / folder / "completions.jsonl").read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_a_stopped_run_goes_on_to_the_same_bytes(
    config: SampleConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run(tmp_path / "whole", "sample", 7)
    stage.sample(config, whole)

    run = Run(tmp_path / "broken", "sample", 7)
    monkeypatch.setattr(stage, "CHUNK_BATCHES", 1)  # the chunks of the whole run were larger
    original = stage._Writer._chunk

    def chunk(self: stage._Writer, indices: range) -> object:
        if 2 in indices:
            with run.stopper:
                os.kill(os.getpid(), signal.SIGTERM)  # noted; the chunk is finished all the same
        return original(self, indices)

    monkeypatch.setattr(stage._Writer, "_chunk", chunk)
    with pytest.raises(Stopped) as stopped:
        stage.sample(config, run)
    assert stopped.value.exit_code == 143
    assert not (run.path / "completions.jsonl").exists()
    assert len(list(run.checkpoints.iterdir())) == 3

    monkeypatch.setattr(stage._Writer, "_chunk", original)
    again = Run(run.path, "sample", 7)
    stage.sample(config, again)
    rows = [json.loads(line) for line in (run.path / "completions.jsonl").read_text().splitlines()]
    wanted = [json.loads(line) for line in (whole.path / "completions.jsonl").read_text().splitlines()]
    assert [row["token_ids"] for row in rows] == [row["token_ids"] for row in wanted]

    undisturbed = Run(tmp_path / "undisturbed", "sample", 7)
    stage.sample(config, undisturbed)
    assert (run.path / "completions.jsonl").read_bytes() == (undisturbed.path / "completions.jsonl").read_bytes()
    assert {k: v for k, v in again.summary.items() if not k.startswith("time/")} == {
        k: v for k, v in undisturbed.summary.items() if not k.startswith("time/")
    }


def test_a_sampler_that_disagrees_with_the_trainer_stops_the_run(
    config: SampleConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", "sample", 7)
    monkeypatch.setattr(stage, "DIGITS", 1)  # off by up to 0.05
    with pytest.raises(DivergedError, match="log-probabilities of the same tokens must agree"):
        stage.sample(config, run)
    assert not (run.path / "completions.jsonl").exists()


def test_a_prompt_longer_than_the_context_is_refused_before_anything_is_written(
    config: SampleConfig, tmp_path: Path
) -> None:
    path = write(tmp_path / "long.jsonl", prompts([*QUESTIONS, "how " * 100]))
    run = Run(tmp_path / "run", "sample", 7)
    with pytest.raises(InputError, match=r"long.jsonl:8: the prompt has \d+ tokens and the context of .* is 48"):
        stage.sample(config.model_copy(update={"prompts": path}), run)
    assert list(run.path.iterdir()) == []


def test_greedy_works_and_says_that_candidates_are_equal(config: SampleConfig, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", "sample", 7)
    greedy = config.model_copy(update={"generation": Generation(max_new_tokens=8, batch=4, temperature=0.0)})
    stage.sample(greedy, run)
    texts = [c.token_ids for c in read_completions(run.path / "completions.jsonl")]
    assert texts[0::3] == texts[1::3] == texts[2::3]
    assert run.summary["sampler_gap"] < 1e-4
