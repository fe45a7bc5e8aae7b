"""A reward model as a Reward: order, packing, the affine, and what plain transformers says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from heedful.config import Architecture
from heedful.data.chat import Chat, train_tokenizer
from heedful.errors import InputError
from heedful.models.loading import Affine, new_policy, reward_from_policy, save_policy, save_reward_model
from heedful.records import Message, Prompt
from heedful.rewards.model import RAW, ModelReward

TEXTS = ["a short answer", "yes", "a rather longer answer than the others are", "", "no, never"]
PROMPTS = [Prompt(id=str(i), messages=(Message("user", f"Question {'x' * i}?"),)) for i in range(len(TEXTS))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reward")
    chat = Chat(train_tokenizer([*TEXTS, "Question?"] * 4, 300))
    shape = Architecture(vocabulary=300, hidden=32, layers=2, heads=2, kv_heads=2, feedforward=48, context=64)
    save_policy(new_policy(shape, chat, 0), chat, home / "policy")
    model, chat = reward_from_policy(home / "policy", 1)
    save_reward_model(model, chat, Affine(mean=0.25, std=2.0), home / "model")
    return home / "model"


def test_scores_come_in_the_order_asked_whatever_stands_beside(folder: Path) -> None:
    reward = ModelReward.load(folder)
    together = [score.value for score in reward.score(PROMPTS, TEXTS)]
    alone = [reward.score([p], [t])[0].value for p, t in zip(PROMPTS, TEXTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 3) for value in together}) == len(TEXTS)


def test_the_affine_is_used_when_asked_for(folder: Path) -> None:
    scaled, raw = ModelReward.load(folder), ModelReward.load(folder, affine=False)
    assert scaled.affine == Affine(mean=0.25, std=2.0) and raw.affine == RAW
    for a, b in zip(scaled.score(PROMPTS, TEXTS), raw.score(PROMPTS, TEXTS), strict=True):
        assert a.parts["raw"] == pytest.approx(b.value) == b.parts["raw"]
        assert a.value == pytest.approx((b.value - 0.25) / 2.0)


def test_plain_transformers_gives_the_same_scores(folder: Path) -> None:
    reward = ModelReward.load(folder, affine=False)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for prompt, text, score in zip(PROMPTS, TEXTS, reward.score(PROMPTS, TEXTS), strict=True):
        ids = torch.tensor([reward.chat.example(prompt.messages, text).ids])
        with torch.no_grad():
            assert plain(ids).logits.item() == pytest.approx(score.value, abs=1e-4)


def test_what_the_model_cannot_read_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="64 tokens"):
        ModelReward.load(folder).score(PROMPTS[:1], ["many words " * 40])


def test_an_answer_cut_by_the_context_is_scored_without_its_overhang(folder: Path) -> None:
    model = ModelReward.load(folder)
    text = "a"
    while len(model.chat.example(PROMPTS[0].messages, text + "a").ids) <= model.context + 1:
        text += "a"
    assert len(model.chat.example(PROMPTS[0].messages, text).ids) > model.context
    assert len(model.score(PROMPTS[:1], [text])) == 1


def test_prompts_and_answers_must_match(folder: Path) -> None:
    with pytest.raises(ValueError):
        ModelReward.load(folder).score(PROMPTS, TEXTS[:2])


def test_no_answers_no_scores(folder: Path) -> None:
    assert ModelReward.load(folder).score([], []) == []
