"""A language model's likelihood as a reward: what plain transformers says, with and without a reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from heedful.config import Architecture, Rewards
from heedful.data.chat import Chat, train_tokenizer
from heedful.errors import InputError
from heedful.models.loading import new_policy, save_policy
from heedful.records import Message, Prompt
from heedful.rewards.build import build_reward
from heedful.rewards.likelihood import Likelihood, LikelihoodReward

TEXTS = ["a short answer", "yes", "a rather longer answer than the others are", "", "yes"]
PROMPTS = [Prompt(id=str(i), messages=(Message("user", f"Question {'x' * i}?"),)) for i in range(len(TEXTS))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two policies with one tokenizer."""
    home = tmp_path_factory.mktemp("likelihood")
    chat = Chat(train_tokenizer([*TEXTS, "Question?"] * 4, 300))
    shape = Architecture(vocabulary=300, hidden=32, layers=2, heads=2, kv_heads=2, feedforward=48, context=64)
    for seed in (0, 1):
        policy = new_policy(shape, chat, seed)
        with torch.no_grad():
            for weight in policy.parameters():
                weight.mul_(3.0)  # far enough from uniform that the two differ
        save_policy(policy, chat, home / str(seed))
    return [home / "0", home / "1"]


def plain(folder: Path) -> list[list[float]]:
    """Log-probabilities of each answer's tokens, one sequence at a time."""
    chat, lm = Likelihood.load(folder).chat, AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for prompt, text in zip(PROMPTS, TEXTS, strict=True):
        example = chat.example(prompt.messages, text)
        ids = torch.tensor([example.ids])
        with torch.no_grad():
            logprobs = lm(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        found.append(logprobs[example.answer - 1 :].tolist())
    return found


def test_the_sum_and_the_mean_over_the_answers_tokens(folders: list[Path]) -> None:
    for per_token in (False, True):
        reward = LikelihoodReward(Likelihood.load(folders[0]), per_token=per_token)
        expected = [sum(tokens) / (len(tokens) if per_token else 1) for tokens in plain(folders[0])]
        assert [s.value for s in reward.score(PROMPTS, TEXTS)] == pytest.approx(expected, rel=1e-4)


def test_against_a_reference_it_is_the_log_ratio(folders: list[Path]) -> None:
    part = {"type": "likelihood", "model": str(folders[0]), "reference": str(folders[1]), "std": 2.0, "weight": 0.5}
    scores = build_reward(Rewards.model_validate({"parts": {"implicit": part}}), "cpu").score(PROMPTS, TEXTS)
    ratios = [sum(ours) - sum(theirs) for ours, theirs in zip(plain(folders[0]), plain(folders[1]), strict=True)]
    assert max(map(abs, ratios)) > 1
    assert [s.value for s in scores] == pytest.approx([0.25 * ratio for ratio in ratios], rel=1e-3, abs=1e-3)
    assert [s.parts["implicit"] for s in scores] == pytest.approx(ratios, rel=1e-3, abs=1e-3)


def test_a_model_against_itself_pays_nothing(folders: list[Path]) -> None:
    itself = LikelihoodReward(Likelihood.load(folders[0]), [Likelihood.load(folders[0])])
    assert [s.value for s in itself.score(PROMPTS, TEXTS)] == [0.0] * len(TEXTS)


def test_what_the_model_cannot_read_is_refused(folders: list[Path]) -> None:
    with pytest.raises(InputError, match="64 tokens"):
        LikelihoodReward(Likelihood.load(folders[0])).score(PROMPTS[:1], ["many words " * 40])


def test_an_answer_of_which_nothing_can_be_read_is_refused(folders: list[Path]) -> None:
    """The prompt fills the context: no token's log-probability is left, and a sum of none would be the best of all."""
    model, content = Likelihood.load(folders[0]), "a"
    while len(model.chat.prompt_ids((Message("user", content),))) < model.policy.context:
        content += "a"
    with pytest.raises(InputError, match="64 tokens"):
        model([Prompt(id="", messages=(Message("user", content),))], [""], per_token=False)
