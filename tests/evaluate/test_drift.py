"""What is read off a model: exact KL along its answers, and bits per byte."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
import torch

from heedful.config import Architecture
from heedful.data.chat import Chat, train_tokenizer
from heedful.data.packing import pack
from heedful.evaluate.answers import Answer, AnswerSet
from heedful.evaluate.divergence import drift
from heedful.evaluate.tax import document_bits, tax_rows
from heedful.models.heads import Policy
from heedful.models.loading import new_policy
from heedful.records import Message, Prompt

SHAPE = Architecture(vocabulary=300, hidden=16, layers=1, heads=2, kv_heads=2, feedforward=16, context=64)
PROMPTS = [Prompt(id=str(i), messages=(Message("user", f"Why is it {i}?"),)) for i in range(3)]


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_tokenizer(["Why is it so?", "It is so."] * 4, 300))


@pytest.fixture(scope="module")
def policies(chat: Chat) -> tuple[Policy, Policy]:
    one, two = new_policy(SHAPE, chat, 0), new_policy(SHAPE, chat, 1)
    for policy in (one, two):
        policy.eval()
        for weight in policy.parameters():
            weight.data.mul_(4.0)  # far from uniform, so that the two differ
    return one, two


def answers_to(chat: Chat) -> AnswerSet:
    texts = [["It is.", "So it is so."], ["No", "It"], ["", "Why?"]]
    return AnswerSet(1.0, tuple(tuple(Answer(t, chat.completion_ids(t), "eos") for t in draws) for draws in texts))


def test_drift_sums_full_vocabulary_kl_over_answer_tokens(chat: Chat, policies: tuple[Policy, Policy]) -> None:
    policy, reference = policies
    answers = answers_to(chat)
    found = drift(policy, reference, chat, PROMPTS, answers, tokens_per_batch=64)
    assert [len(draws) for draws in found] == [2, 2, 2]
    batch = pack([chat.example_ids(chat.prompt_ids(PROMPTS[1].messages), answers.answers[1][0].token_ids)])
    with torch.no_grad():
        log_p, log_q = (torch.log_softmax(m.head(m.hidden(batch)).float(), -1) for m in (policy, reference))
    expected = (log_p.exp() * (log_p - log_q)).sum().item()
    assert found[1][0].kl == pytest.approx(expected, rel=1e-4) and expected > 0
    picked = batch.target_ids[:, None]
    assert found[1][0].own == pytest.approx(-log_p.gather(1, picked).sum().item(), rel=1e-4)
    assert found[1][0].reference == pytest.approx(-log_q.gather(1, picked).sum().item(), rel=1e-4)
    assert found[1][0].tokens == len(answers.answers[1][0].token_ids)


def test_drift_from_itself_is_nothing(chat: Chat, policies: tuple[Policy, Policy]) -> None:
    found = drift(policies[0], policies[0], chat, PROMPTS, answers_to(chat), tokens_per_batch=1000)
    assert all(abs(d.kl) < 1e-5 and d.own == pytest.approx(d.reference) for draws in found for d in draws)


def test_bits_are_of_the_whole_page_and_bytes_of_its_text(chat: Chat, policies: tuple[Policy, Policy]) -> None:
    uniform = new_policy(SHAPE, chat, 0)
    for weight in uniform.parameters():
        weight.data.zero_()
    text = "Wie schön!"
    ((bits, size),) = document_bits(uniform, chat, [text], context=64, tokens_per_batch=64)
    targets = len(chat.document(text).ids) - 1  # all but the first, which nothing stands before
    assert bits == pytest.approx(targets * log2(uniform.vocabulary), rel=1e-5)
    assert size == len(text.encode()) == 11
    ((_, cut),) = document_bits(policies[0], chat, [text], context=4, tokens_per_batch=64)
    assert cut < size


def test_the_tax_is_a_ratio_paired_by_document() -> None:
    # 30 bits on 10 bytes and 10 on 10 → 2 bits a byte; 6 bits more on 20 bytes → +0.3
    measured = {"base": [(30.0, 10), (10.0, 10)], "ppo": [(33.0, 10), (13.0, 10)]}
    rows = tax_rows(measured, "base", np.random.default_rng(0))
    assert rows["base"]["bits_per_byte"] == pytest.approx(2.0) and rows["base"]["difference"] == 0
    assert rows["ppo"]["difference"] == pytest.approx(0.3)
    # the documents differ much, the paired difference not at all
    assert rows["ppo"]["difference_low"] == pytest.approx(0.3) == rows["ppo"]["difference_high"]
    assert rows["ppo"]["low"] < 2.3 < rows["ppo"]["high"]
    assert rows["ppo"]["relative"] == pytest.approx(0.15)
