"""A blend: its weights are the likeliest, its scores the weighted sum, and its folder is used like a reward model's."""

from __future__ import annotations

import json
import shutil
from math import tanh
from pathlib import Path

import numpy as np
import pytest

from heedful.config import Architecture, BlendPart
from heedful.data.chat import Chat, train_tokenizer
from heedful.errors import InputError
from heedful.models.loading import Affine, new_policy, reward_from_policy, save_policy, save_reward_model
from heedful.records import Message, Prompt
from heedful.rewards.blend import BlendReward, Fitted, bounds, fit_weights, open_part, save_blend, scored_by
from heedful.rewards.likelihood import Likelihood, LikelihoodReward
from heedful.rewards.loading import load_reward
from heedful.rewards.model import ModelReward

TEXTS = ["a short answer", "yes", "a rather longer answer than the others are", "no, never"]
PROMPTS = [Prompt(id=str(i), messages=(Message("user", f"Question {'x' * i}?"),)) for i in range(len(TEXTS))]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A policy and a reward model in one folder."""
    chat = Chat(train_tokenizer([*TEXTS, "Question?"] * 4, 300))
    shape = Architecture(vocabulary=300, hidden=32, layers=1, heads=2, kv_heads=2, feedforward=48, context=64)
    save_policy(new_policy(shape, chat, 0), chat, tmp_path / "runs" / "policy")
    model, chat = reward_from_policy(tmp_path / "runs" / "policy", 1)
    save_reward_model(model, chat, Affine(mean=0.5, std=3.0), tmp_path / "runs" / "reward")
    return tmp_path / "runs"


def blended(home: Path) -> dict[str, Fitted]:
    likely = BlendPart(model=str(home / "policy"), per_token=True)
    return {
        "head": Fitted(BlendPart(model=str(home / "reward")), 2.0, 0.25, 0.5),
        "likely": Fitted(likely, -1.5, -5.7, 0.1),
    }


def save(home: Path) -> Path:
    (home / "blend").mkdir()
    save_blend(home / "blend", blended(home), Affine(mean=1.0, std=4.0))
    return home / "blend"


def test_weights_that_were_planted_are_found() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(200_000, 3)) * [1.0, 50.0, 0.02]
    weights = np.array([0.8, -0.01, 20.0])
    wins = rng.random(len(differences)) < 1 / (1 + np.exp(-differences @ weights))
    assert fit_weights(differences, wins.astype(float)) == pytest.approx(weights, rel=0.05)


def test_one_part_has_the_weight_that_two_sums_give() -> None:
    """Three of four judgements go with a difference of 1: σ(w) = 3/4, w = ln 3. A tie is half of each."""
    assert fit_weights(np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx([np.log(3)], rel=1e-5)
    assert fit_weights(np.ones((2, 1)), np.array([1.0, 0.5])) == pytest.approx([np.log(3)], rel=1e-5)


def test_a_few_judgements_with_a_long_tail_do_not_throw_the_weights_away() -> None:
    """Some weights agree with all four; a whole step of Newton's flies to ones that get the second one wrong."""
    differences = np.array([[17.0, 3.0], [175.0, -37.0], [-1.0, 8.0], [11.0, -1.0]])
    assert (differences @ fit_weights(differences, np.ones(4)) > 5).all()


def test_who_stands_first_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    differences, targets = rng.normal(size=(50, 2)), rng.choice([0.0, 0.5, 1.0], 50)
    assert fit_weights(-differences, 1 - targets) == pytest.approx(fit_weights(differences, targets))


def test_parts_that_say_the_same_share_a_weight() -> None:
    found = fit_weights(np.ones((4, 2)), np.array([1.0, 1.0, 1.0, 0.0]))
    assert found[0] == pytest.approx(found[1]) and found.sum() == pytest.approx(np.log(3), rel=1e-4)


def test_a_blend_is_the_weighted_sum_with_likelihoods_bounded(home: Path) -> None:
    raw = [s.value for s in ModelReward.load(home / "reward", affine=False).score(PROMPTS, TEXTS)]
    likely = LikelihoodReward(Likelihood.load(home / "policy"), per_token=True).score(PROMPTS, TEXTS)
    expected = [
        2.0 * (r - 0.25) / 0.5 - 1.5 * tanh((one.value + 5.7) / 0.1)
        if one.value < -5.7
        else 2.0 * (r - 0.25) / 0.5 - 1.5 * (one.value + 5.7) / 0.1
        for r, one in zip(raw, likely, strict=True)
    ]
    assert min(one.value for one in likely) < -5.7 < max(one.value for one in likely)
    folder = save(home)
    scaled, plain = load_reward(folder), load_reward(folder, affine=False)
    assert isinstance(plain, BlendReward)
    assert [s.value for s in plain.score(PROMPTS, TEXTS)] == pytest.approx(expected, abs=1e-4)
    found = scaled.score(PROMPTS, TEXTS)
    assert [s.value for s in found] == pytest.approx([(value - 1.0) / 4.0 for value in expected], abs=1e-4)
    assert [s.parts["raw"] for s in found] == pytest.approx(expected, abs=1e-4)
    assert [s.parts["head/raw"] for s in found] == pytest.approx(raw, abs=1e-4)


def test_a_run_folder_can_be_moved(home: Path) -> None:
    before = [s.value for s in load_reward(save(home)).score(PROMPTS, TEXTS)]
    moved = home.parent / "elsewhere"
    shutil.move(home, moved)
    assert [s.value for s in load_reward(moved / "blend").score(PROMPTS, TEXTS)] == before


def test_a_critic_begins_from_its_reward_model(home: Path) -> None:
    assert Path(scored_by(save(home))).resolve() == (home / "reward").resolve()


def test_a_part_that_is_gone_is_named(home: Path) -> None:
    folder = save(home)
    shutil.rmtree(home / "reward")
    with pytest.raises(InputError, match=r"part 'head' names \.\./reward, which is gone; run the blend again"):
        load_reward(folder)


def test_a_reward_model_reads_no_reference(home: Path) -> None:
    parts = blended(home)
    parts["head/raw"] = Fitted(BlendPart(model=str(home / "reward"), per_token=True), 1.0, 0.0, 1.0)
    (home / "wrong").mkdir()
    save_blend(home / "wrong", parts, Affine(0.0, 1.0))
    with pytest.raises(InputError, match="is a reward model, which reads neither reference nor per_token"):
        load_reward(home / "wrong")


def test_what_gives_no_single_score_is_no_part(home: Path) -> None:
    with pytest.raises(InputError, match="is a blend itself: name its parts"):
        open_part(BlendPart(model=str(save(home))), "cpu")
    config = home / "reward" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"heedful_pairwise": True}))
    with pytest.raises(InputError, match="compares two answers, so a blend can't weigh it"):
        open_part(BlendPart(model=str(home / "reward")), "cpu")


def test_a_log_ratio_is_bounded_on_both_sides_and_a_log_probability_below() -> None:
    z = np.array([-3.0, 0.0, 3.0])
    ratio, likely = BlendPart(model="a", reference="b"), BlendPart(model="a")
    assert bounds(ratio)(z) == pytest.approx([-tanh(3), 0.0, tanh(3)])
    assert bounds(likely)(z) == pytest.approx([-tanh(3), 0.0, 3.0])
