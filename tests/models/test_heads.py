"""The modules that fit trains: positions, heads and dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from heedful.data.packing import Example, pack
from heedful.models.attention import packed_hidden, plain_attention
from heedful.models.heads import ConcentratedPolicy, Policy, RewardModel, ValueModel, disable_dropout, init_score_head

CONFIG = LlamaConfig(
    vocab_size=40,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=32,
    initializer_range=0.3,
    pad_token_id=0,
)
EXAMPLES = [Example((5, 6, 7, 8), answer=2), Example((9, 10, 11), answer=1), Example((12, 13, 14, 15, 16), answer=4)]


def classifier(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if kind == "llama":
        return LlamaForSequenceClassification(LlamaConfig(**CONFIG.to_dict() | {"num_labels": 1}))
    shape = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    return GPT2ForSequenceClassification(GPT2Config(**shape, num_labels=1, pad_token_id=0, initializer_range=0.3))


def test_policy_gives_each_target_the_probability_after_the_tokens_before_it() -> None:
    torch.manual_seed(0)
    lm = LlamaForCausalLM(CONFIG)
    expected = []
    for example in EXAMPLES:
        log_p = torch.log_softmax(lm(torch.tensor([example.ids])).logits[0] / 1.5, -1)
        expected += [log_p[place - 1, example.ids[place]] for place in range(example.answer, len(example.ids))]
    policy = Policy(lm)
    found = policy(pack(EXAMPLES), temperature=1.5)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert policy.context == 32
    assert policy.vocabulary == 40


def test_a_concentrated_policy_says_what_the_policy_says_and_how_sure_it_is() -> None:
    torch.manual_seed(0)
    policy = Policy(LlamaForCausalLM(CONFIG))
    batch = pack(EXAMPLES)
    logprobs, collision = ConcentratedPolicy(policy)(batch)
    assert torch.equal(logprobs, policy(batch))
    assert logprobs.requires_grad and not collision.requires_grad
    squares = policy.head(policy.hidden(batch)).softmax(-1).square().sum(-1)
    torch.testing.assert_close(collision, squares.log())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_reward_model_scores_the_last_token_as_transformers_does_on_padded_rows(kind: str) -> None:
    model = RewardModel(classifier(kind))
    scores = model(pack(EXAMPLES))
    longest = max(len(e.ids) for e in EXAMPLES)
    rows = torch.tensor([list(e.ids) + [0] * (longest - len(e.ids)) for e in EXAMPLES])
    with plain_attention(model.classifier) as plain:
        expected = plain(rows, attention_mask=(rows != 0).long()).logits.squeeze(-1)
    assert scores.std() > 0.01
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_value_model_stands_before_each_target() -> None:
    backbone = classifier("llama").base_model
    model = ValueModel(backbone, nn.Linear(16, 1))
    values = model(pack(EXAMPLES))
    hidden = packed_hidden(backbone, pack(EXAMPLES), pack(EXAMPLES).everywhere)
    places = [1, 2, 4, 5, 10]  # one before each target: 2, 3 | 5, 6 | 11
    torch.testing.assert_close(values, model.score(hidden[places]).squeeze(-1))


def test_score_head_is_drawn_with_the_papers_deviation() -> None:
    head = nn.Linear(399, 100)
    init_score_head(head, torch.Generator().manual_seed(3))
    assert head.weight.std().item() == pytest.approx(1 / 20, rel=0.02)  # 1/√(399 + 1)
    assert head.weight.mean().item() == pytest.approx(0.0, abs=0.001)
    assert not head.bias.any()
    again = nn.Linear(399, 100)
    init_score_head(again, torch.Generator().manual_seed(3))
    assert torch.equal(head.weight, again.weight)


def test_dropout_is_off_even_in_training_mode() -> None:
    shape = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    config = GPT2Config(**shape, num_labels=1, pad_token_id=0, attn_pdrop=0.5, embd_pdrop=0.5, resid_pdrop=0.5)
    model = RewardModel(GPT2ForSequenceClassification(config)).train()
    assert torch.equal(model(pack(EXAMPLES)), model(pack(EXAMPLES)))
    llama = LlamaForCausalLM(LlamaConfig(**CONFIG.to_dict() | {"attention_dropout": 0.5}))
    disable_dropout(llama)
    policy = Policy(llama).train()
    assert torch.equal(policy(pack(EXAMPLES)), policy(pack(EXAMPLES)))
