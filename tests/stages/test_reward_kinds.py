"""Each kind of reward model learns its own kind of judgement, and what it leaves loads in plain transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from heedful.config import Architecture, Optim, RewardConfig, Training
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models.loading import critic_from_reward, load_reward_model, new_policy, save_policy
from heedful.records import Completion, Message, Prompt, Ranking, Rating, Record, StepLabels, to_row
from heedful.rewards.criteria import CriteriaReward
from heedful.rewards.ensemble import EnsembleReward
from heedful.rewards.loading import load_reward
from heedful.rewards.model import ModelReward
from heedful.rewards.pairwise import PreferenceModel
from heedful.rewards.process import ProcessReward
from heedful.run import Run
from heedful.stages.reward import reward

GOOD, FAIR, BAD = "Yes, with pleasure", "Maybe later", "No, go away"
PAD = "and so on "


def prompt(index: int) -> Prompt:
    return Prompt(id=str(index), messages=(Message("user", f"Bring the bread {index}"),))


def ranking(index: int) -> Ranking:
    rng = np.random.default_rng(index)
    order = [int(i) for i in rng.permutation(3)]
    texts = tuple(f"{(GOOD, FAIR, BAD)[i]} {rng.integers(9)}" for i in order)
    return Ranking(prompt=prompt(index), completions=texts, ranks=tuple(order), rater="r", rater_kind="simulated")


def lengthy(index: int) -> Ranking:
    """Judged by quality and as much by length, which are independent."""
    rng = np.random.default_rng(index)
    good, pads = rng.integers(0, 2, 4), rng.integers(0, 6, 4)
    texts = [f"{PAD * int(n)}{(BAD, GOOD)[g]} {i}" for i, (g, n) in enumerate(zip(good, pads, strict=True))]
    felt = 2.0 * good + 0.6 * pads + rng.gumbel(size=4) * 0.3
    ranks = tuple(int(i) for i in np.argsort(np.argsort(-felt)))
    return Ranking(prompt=prompt(index), completions=tuple(texts), ranks=ranks, rater="r", rater_kind="simulated")


def rating(index: int) -> Rating:
    """Help goes with the words, brevity with the length; some nobody rated for brevity."""
    rng = np.random.default_rng(index)
    good, pads = int(rng.integers(0, 2)), int(rng.integers(0, 4))
    ratings = {"help": 1.0 + 3 * good} | ({"brief": 4.0 - pads} if index % 5 else {})
    return Rating(prompt=prompt(index), completion=f"{PAD * pads}{(BAD, GOOD)[good]}", ratings=ratings)


def steps(index: int) -> StepLabels:
    """Sums; a step is right where it says so."""
    rng = np.random.default_rng(index)
    right = rng.integers(0, 4, 3) > 0
    lines = tuple(f"{'true' if ok else 'false'} {rng.integers(9)}." for ok in right)
    return StepLabels(prompt=prompt(index), steps=lines, labels=tuple(map(float, right)))


def outcome(index: int) -> dict[str, Any]:
    good = bool(np.random.default_rng(index).integers(0, 2))
    text = f"{'true' if good else 'false'} {PAD}{index % 9}"
    return {"id": str(index), "prompt": f"Bring the bread {index}", "completion": text, "label": good}


def write(path: Path, records: list[Any]) -> str:
    rows = [record if isinstance(record, dict) else to_row(record) for record in records]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    texts = [GOOD, FAIR, BAD, PAD, "true 1. false 2.\n[A] [B]", "Which answer is better, A or B?", "Bring the bread 0"]
    chat = Chat(train_tokenizer(texts * 3, 300))
    shape = Architecture(vocabulary=300, hidden=32, layers=2, heads=2, kv_heads=2, feedforward=48, context=192)
    save_policy(new_policy(shape, chat, 0), chat, home / "policy")
    kinds = {"rankings": ranking, "lengthy": lengthy, "ratings": rating, "steps": steps, "outcomes": outcome}
    for name, make in kinds.items():
        write(home / f"{name}.jsonl", [make(i) for i in range(160)])
        write(home / f"{name}-held.jsonl", [make(i) for i in range(300, 360)])
    samples: list[Record] = [
        Completion(prompt=prompt(i), text=text, policy="sft")
        for i in range(400, 410)
        for text in (GOOD, FAIR, PAD + BAD, "true 1. false 2.")
    ]
    write(home / "samples.jsonl", samples)
    return home


def config(home: Path, data: str, **fields: Any) -> RewardConfig:
    given = {
        "model": str(home / "policy"),
        "data": [str(home / f"{data}.jsonl")],
        "heldout": [str(home / f"{data}-held.jsonl")],
        "calibration": [str(home / "samples.jsonl")],
        "optim": Optim(lr=3e-3),
        "training": Training(tokens_per_batch=4096),
    }
    return RewardConfig.model_validate(given | fields)


def trained(home: Path, name: str, settings: RewardConfig) -> tuple[Run, dict[str, Any]]:
    run = Run(home / name, "reward", 0)
    reward(settings, run)
    return run, json.loads((run.path / "reward.json").read_text())


def test_plackett_luce_learns_the_order(home: Path) -> None:
    run, report = trained(home, "pl", config(home, "rankings", loss={"type": "plackett_luce"}))
    assert report["accuracy"] > 0.95 and report["trained_on"] == {"rankings": 160, "comparisons": 480}
    assert load_reward_model(run.model, device="cpu")[2].std != 1.0


def test_plackett_luce_says_that_it_reads_no_margins(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Run, "say", lambda self, text: said.append(text))
    data = [write(tmp_path / "margins.jsonl", [replace(ranking(i), margins=(0.5, 0.5, 0.5)) for i in range(16)])]
    for loss in ("bradley_terry", "plackett_luce"):
        settings = config(home, "rankings", loss={"type": loss}).model_copy(update={"data": data})
        reward(settings, Run(tmp_path / loss, "reward", 0))
    told = [line for line in said if "margins" in line]
    assert told == ["the rankings' margins are not read: the plackett_luce loss has no place for them"]


def test_odin_leaves_an_ordinary_reward_model_that_cares_less_for_length(home: Path) -> None:
    longer = Training(epochs=3, tokens_per_batch=8192)
    plain, _ = trained(home, "plain", config(home, "lengthy", training=longer))
    odin, report = trained(home, "odin", config(home, "lengthy", loss={"type": "odin"}, training=longer))
    held = [lengthy(i) for i in range(300, 360)]
    prompts = [r.prompt for r in held for _ in r.completions]
    texts = [text for r in held for text in r.completions]
    length = [len(text) for text in texts]
    good = [GOOD in text for text in texts]
    of_length, of_quality = [], []
    for run in (plain, odin):
        scores = [score.value for score in load_reward(run.model).score(prompts, texts)]
        of_length.append(abs(np.corrcoef(scores, length)[0, 1]))
        of_quality.append(np.corrcoef(scores, good)[0, 1])
    assert of_length[0] > 0.4 and of_length[1] < of_length[0] / 2
    assert of_quality[1] > of_quality[0]
    assert abs(report["length"]["correlation"]) < 0.3
    assert AutoModelForSequenceClassification.from_pretrained(odin.model).config.num_labels == 1


def test_odin_refuses_a_step_that_would_be_cut(home: Path, tmp_path: Path) -> None:
    small = Training(tokens_per_batch=64)
    with pytest.raises(InputError, match=r"one step holds \d+ tokens: raise training.tokens_per_batch"):
        reward(config(home, "lengthy", loss={"type": "odin"}, training=small), Run(tmp_path, "reward", 0))


def test_a_pairwise_model_is_antisymmetric_and_right(home: Path) -> None:
    settings = config(home, "rankings", loss={"type": "pairwise"}, calibration=[], training=Training(epochs=2))
    run, report = trained(home, "pairwise", settings)
    assert report["accuracy"] > 0.9
    model = PreferenceModel.load(run.model)
    there = model.log_odds([prompt(1)] * 2, [GOOD, BAD], [FAIR, GOOD])
    back = model.log_odds([prompt(1)] * 2, [FAIR, GOOD], [GOOD, BAD])
    assert there == pytest.approx([-value for value in back], abs=1e-5)
    assert there[0] > 0 > there[1]
    with pytest.raises(InputError, match="compares two answers and scores none"):
        load_reward(run.model)
    with pytest.raises(InputError, match="leave calibration out"):
        reward(config(home, "rankings", loss={"type": "pairwise"}), Run(home / "no", "reward", 0))


def test_regression_has_a_head_for_each_criterion_and_their_weighted_sum(home: Path) -> None:
    weights = {"help": 2.0, "brief": -0.5}
    longer = Training(epochs=4, tokens_per_batch=4096)
    settings = config(home, "ratings", loss={"type": "regression", "weights": weights}, training=longer)
    run, report = trained(home, "ratings", settings)
    assert report["criteria"]["help"]["explained"] > 0.8 and report["criteria"]["brief"]["explained"] > 0.8
    judge = load_reward(run.model)
    assert isinstance(judge, CriteriaReward)
    asked = ([prompt(1), prompt(2)], [GOOD, PAD * 3 + BAD])
    plain = AutoModelForSequenceClassification.from_pretrained(run.model).eval()
    assert plain.config.id2label == {0: "help", 1: "brief"}
    for one, text, score in zip(*asked, judge.score(*asked), strict=True):
        with torch.no_grad():
            logits = plain(torch.tensor([judge.chat.example(one.messages, text).ids])).logits[0].tolist()
        ratings = [c.mean + c.std * z for c, z in zip(judge.criteria, logits, strict=True)]
        assert [score.parts["help"], score.parts["brief"]] == pytest.approx(ratings, abs=1e-4)
        assert score.parts["raw"] == pytest.approx(2 * ratings[0] - 0.5 * ratings[1], abs=1e-4)
        assert score.value == pytest.approx((score.parts["raw"] - judge.affine.mean) / judge.affine.std, abs=1e-4)


def test_a_critic_begins_with_the_weighted_sum(home: Path) -> None:
    settings = config(home, "ratings", loss={"type": "regression", "weights": {"help": 1.0, "brief": 3.0}})
    run, _ = trained(home, "ratings-critic", settings)
    judge, critic = load_reward(run.model), critic_from_reward(run.model, device="cpu")
    ids = judge.chat.example(prompt(1).messages, GOOD).ids
    with torch.no_grad():
        value = critic(pack([Example((*ids, 7), len(ids))])).item()  # before the one target, behind the answer
    assert value == pytest.approx(judge.score([prompt(1)], [GOOD])[0].value, abs=1e-3)


def test_a_process_model_finds_the_first_wrong_step(home: Path) -> None:
    longer = Training(epochs=4, tokens_per_batch=4096)
    loss = {"type": "process", "steps": "sentences", "first_error": False}
    run, report = trained(home, "steps", config(home, "steps", loss=loss, training=longer))
    assert report["accuracy"] > 0.9 and report["f1"] > 0.8
    judge = load_reward(run.model)
    assert isinstance(judge, ProcessReward)
    text = "true 1. false 2. true 3."
    (score,) = judge.score([prompt(1)], [text])
    assert score.parts["steps"] == 3
    plain = AutoModelForTokenClassification.from_pretrained(run.model).eval()
    assert plain.config.id2label == {0: "wrong", 1: "right"}
    ids = judge.chat.example(prompt(1).messages, text).ids
    with torch.no_grad():
        right = plain(torch.tensor([ids])).logits[0].softmax(-1)[:, 1]
    ends = [i for i, token in enumerate(ids) if "." in judge.chat.decode([token])]
    assert score.parts["raw"] == pytest.approx(min(right[i].item() for i in ends), abs=1e-5)
    whole = judge.score([prompt(1)] * 2, ["true 1. true 4. true 3.", text])
    assert whole[0].value > whole[1].value


@pytest.mark.parametrize("every_token", [False, True])
def test_an_outcome_model_tells_right_from_wrong(home: Path, every_token: bool) -> None:
    loss, longer = {"type": "outcome", "every_token": every_token}, Training(epochs=3)
    run, report = trained(home, f"out-{every_token}", config(home, "outcomes", loss=loss, training=longer))
    assert report["accuracy"] > 0.9 > report["commoner"] and report["area"] > 0.95
    scores = load_reward(run.model, affine=False).score([prompt(1)] * 2, ["true and so on 1", "false and so on 1"])
    assert scores[0].value > 0 > scores[1].value


def test_an_ensembles_members_are_models_of_their_own_and_their_mean_is_one(home: Path) -> None:
    settings = config(home, "rankings", members=3)
    run, report = trained(home, "ensemble", settings)
    alone, _ = trained(home, "alone", config(home, "rankings"))
    name = "model/model.safetensors"
    first = (run.path / "members" / "0" / name).read_bytes()
    assert first == (alone.path / name).read_bytes(), "the first member is the model that is trained alone"
    folders = [run.path / "members" / str(k) / "model" for k in range(3)]
    states = [load_reward_model(folder, device="cpu")[0].state_dict() for folder in folders]
    mean = load_reward_model(run.model, device="cpu")[0].state_dict()
    for key, tensor in mean.items():
        assert torch.allclose(tensor, sum(s[key] for s in states) / 3, atol=1e-6)
        if "proj" in key:
            assert not torch.equal(states[0][key], states[1][key])
    figures = report["ensemble"]
    assert len(figures["members"]) == 3 and set(figures["combined"]) == {"mean", "worst", "penalised"}
    assert figures["combined"]["mean"] > 0.9 and 0.5 < figures["agreement"] <= 1 and figures["spread"] > 0
    assert not list((run.path / "members").glob("*/checkpoints"))
    worst = EnsembleReward.load(run.path / "members", combine="worst")
    (score,) = worst.score([prompt(1)], [GOOD])
    singles = [ModelReward.load(folder).score([prompt(1)], [GOOD])[0].value for folder in folders]
    assert score.value == pytest.approx(min(singles)) and score.parts["spread"] == pytest.approx(np.std(singles))


def test_judgements_of_another_kind_name_the_loss_that_fits(home: Path, tmp_path: Path) -> None:
    for data, loss, fitting in (
        ("ratings", "bradley_terry", "regression"),
        ("steps", "plackett_luce", "process"),
        ("rankings", "regression", "bradley_terry"),
        ("ratings", "process", "regression"),
    ):
        with pytest.raises(InputError, match=f'"{fitting}"'):
            reward(config(home, data, loss={"type": loss}, heldout=[]), Run(tmp_path / data, "reward", 0))


def test_a_folder_without_members_is_no_ensemble(home: Path) -> None:
    with pytest.raises(InputError, match="holds no ensemble"):
        EnsembleReward.load(home / "policy", combine="mean")
    with pytest.raises(InputError, match='loss.type = "pairwise"'):
        PreferenceModel.load(home / "policy")
