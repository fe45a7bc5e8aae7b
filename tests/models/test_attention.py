"""Packed attention is transformers' own attention on each sequence alone, for every architecture that takes it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models.attention import packed_hidden, plain_attention, use_packed_attention
from heedful.models.heads import Policy
from heedful.models.layout import SHORTEST, Layout, grid_rows

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GPT2_SHAPE = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 0}


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    match name:
        case "llama":
            return LlamaForCausalLM(LlamaConfig(**SHAPE))
        case "gpt2":
            return GPT2LMHeadModel(GPT2Config(**GPT2_SHAPE))
        case "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**SHAPE))
        case "qwen3":
            return Qwen3ForCausalLM(Qwen3Config(**SHAPE))
        case "mistral":
            return MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=4))
        case "gemma2":
            return Gemma2ForCausalLM(Gemma2Config(**SHAPE, attn_logit_softcapping=50.0))
        case _:
            return BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4))


def loud(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough that attention matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8.0)
    return model.eval()


def everywhere(policy: Policy, examples: list[Example]) -> torch.Tensor:
    """Hidden states of every token."""
    batch = pack(examples)
    return packed_hidden(policy.lm.base_model, batch, batch.everywhere)


def sequences(*lengths: int) -> list[Example]:
    generator = torch.Generator().manual_seed(1)
    return [Example(tuple(torch.randint(1, 64, (n,), generator=generator).tolist())) for n in lengths]


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "qwen3", "mistral"])
def test_packed_equals_separate_forwards(name: str) -> None:
    model = loud(build(name))
    examples = sequences(3, 17, 1, 9, 17, 5)
    alone = torch.cat([model(torch.tensor([e.ids]), use_cache=False).logits[0] for e in examples])
    policy = Policy(model)
    packed = policy.head(everywhere(policy, examples))
    assert alone.std() > 0.1
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_gradients_equal_those_of_separate_forwards() -> None:
    model = loud(build("llama"))
    examples = sequences(4, 11, 7)
    for example in examples:
        logits = model(torch.tensor([example.ids]), use_cache=False).logits[0, :-1]
        torch.log_softmax(logits, -1).gather(-1, torch.tensor(example.ids[1:])[:, None]).sum().backward()
    alone = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    policy = Policy(model)
    policy(pack(examples)).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, alone[name], rtol=1e-3, atol=1e-3)


def test_a_sequence_knows_nothing_of_its_neighbours() -> None:
    policy = Policy(loud(build("llama")))
    one, other, third = sequences(6, 9, 4)
    changed = Example(tuple((i + 5) % 63 + 1 for i in other.ids))
    before = everywhere(policy, [one, other, third])
    after = everywhere(policy, [one, changed, third])
    assert torch.equal(before[:6], after[:6])
    assert torch.equal(before[15:], after[15:])
    assert not torch.allclose(before[6:15], after[6:15])


def test_the_sliding_window_is_kept() -> None:
    """With a window of 4 and two layers, token 0 reaches token 6 but never token 7."""
    policy = Policy(loud(build("mistral")))
    (example,) = sequences(9)
    changed = Example((example.ids[0] % 63 + 1, *example.ids[1:]))
    before, after = (everywhere(policy, [e]) for e in (example, changed))
    assert not torch.allclose(before[6], after[6])
    assert torch.equal(before[7:], after[7:])


@pytest.mark.parametrize(("name", "word"), [("gemma2", "capped"), ("bloom", "exchanged")])
def test_what_can_not_be_packed_is_refused(name: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Policy(build(name))(pack(sequences(3, 2)))


def test_plain_attention_takes_padded_batches_and_then_packs_again() -> None:
    model = loud(build("llama"))
    examples = sequences(5, 8)
    expected = model(torch.tensor([examples[0].ids]), use_cache=False).logits
    policy = Policy(model)
    with pytest.raises(ValueError, match="packed_hidden"):
        model(torch.tensor([examples[0].ids]), use_cache=False)
    with plain_attention(model):
        torch.testing.assert_close(model(torch.tensor([examples[0].ids]), use_cache=False).logits, expected)
    assert policy(pack(examples)).shape == (11,)


def test_layout_spreads_and_gathers() -> None:
    batch = pack(sequences(2, 3))
    layout = Layout.of(batch)
    states = torch.arange(5.0)[None, None, :, None]  # (1, 1 head, 5 tokens, 1)
    grid = layout.spread(states)
    assert grid[:, 0, :, 0].tolist() == [[0.0, 1.0, 0.0], [2.0, 3.0, 4.0]]
    assert layout.gather(grid).flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_grids_hold_all_sequences_and_waste_little(lengths: list[int]) -> None:
    lengths.sort(reverse=True)
    counts = grid_rows(lengths)
    assert sum(counts) == len(lengths)
    begin = 0
    for count in counts:
        assert min(lengths[begin : begin + count]) >= SHORTEST * lengths[begin]
        begin += count
    firsts = [lengths[sum(counts[:i])] for i in range(len(counts))]
    assert all(later < SHORTEST * earlier for earlier, later in pairwise(firsts))


def test_switching_twice_changes_nothing() -> None:
    model = build("llama")
    use_packed_attention(model)
    use_packed_attention(model)
    assert model.config.to_dict().get("attn_implementation") is None
    assert "heedful" not in model.config.to_json_string()


def test_on_a_processor_attention_stays_float32_beside_bfloat16_products() -> None:
    """Its kernel is slower in bfloat16: the queries that it gets are float32, and so is what it returns."""
    model, seen = build("qwen2"), []
    use_packed_attention(model)
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    batch = pack([Example((1, 2, 3, 4)), Example((5, 6))])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        packed_hidden(model.base_model, batch, batch.everywhere)
    assert seen == [torch.float32] * len(model.model.layers)


@pytest.mark.parametrize("half", [True, False])
def test_products_that_read_the_same_norm_get_the_same_tensor(half: bool) -> None:
    """In bfloat16 it is cast once for q, k and v and once for gate and up; in float32 nothing is cast."""
    model, seen = build("qwen2"), []
    use_packed_attention(model)
    block = model.model.layers[0]
    for layer in (block.self_attn.q_proj, block.self_attn.v_proj, block.mlp.gate_proj, block.mlp.up_proj):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = pack([Example((1, 2, 3, 4)), Example((5, 6))])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        packed_hidden(model.base_model, batch, batch.everywhere)
    q, v, gate, up = seen
    assert q is v and gate is up and q.dtype == gate.dtype == (torch.bfloat16 if half else torch.float32)
