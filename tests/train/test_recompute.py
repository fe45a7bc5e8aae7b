"""Gradient checkpointing: the same gradients, fewer tensors kept, and nothing of it outside a backward pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

sys.path.insert(0, str(Path(__file__).parent))
from test_loop import examples, metrics, train, weights

from heedful.config import Lora
from heedful.data.packing import pack
from heedful.errors import InputError
from heedful.models.heads import Policy
from heedful.models.lora import add_lora
from heedful.train.recompute import blocks_of, recomputing


def llama() -> PreTrainedModel:
    shape = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 3, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2)).eval()


def gpt2() -> PreTrainedModel:
    shape = {"vocab_size": 32, "n_embd": 8, "n_layer": 3, "n_head": 2, "n_positions": 32}
    return GPT2LMHeadModel(GPT2Config(**shape, eos_token_id=1, bos_token_id=1)).eval()


def gradients(policy: Policy, on: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients, and how many numbers the forward pass kept for them."""
    kept: list[int] = []
    batch = pack(examples()[:4])
    policy.zero_grad()
    counting = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t)
    with counting, recomputing(policy, on):
        loss = -policy(batch).sum()
        forward = sum(kept)
        loss.backward()
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}, forward


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_equal_gradients_from_less_that_is_kept(make: type, rank: int) -> None:
    torch.manual_seed(0)
    policy = Policy(make())
    add_lora(policy.lm, Lora(rank=rank), "base", 0)
    plain, much = gradients(policy, on=False)
    again, little = gradients(policy, on=True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert little < 0.7 * much
    assert gradients(policy, on=False)[1] == much  # off again


def test_modes_are_put_back() -> None:
    policy = Policy(llama())
    with recomputing(policy, True):
        assert policy.lm.model.layers[0].training
    assert not policy.lm.model.layers[0].training
    assert not policy.lm.model.layers[0].gradient_checkpointing


def test_a_run_with_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    train(tmp_path / "plain")
    train(tmp_path / "again", gradient_checkpointing=True)
    assert weights(tmp_path / "plain") == weights(tmp_path / "again")
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "again")


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="Linear has no blocks that can be computed again"):
        blocks_of(nn.Linear(2, 2))
