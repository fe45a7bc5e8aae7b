"""What a step is said to take, against what a forward pass leaves behind."""

from __future__ import annotations

import pytest
import torch

from heedful.ops.footprint import LEARNING, Network, adapters

SMALL = Network(hidden=128, layers=4, feedforward=384, keys=64, vocabulary=0)


def test_a_step_by_hand() -> None:
    """A block: 10·128 + 4·64 + 4·384 = 3072 numbers a token; four, and one that the backward pass works in."""
    assert SMALL.kept(10, recompute=False, half=False) == 4 * 10 * 5 * 3072
    assert SMALL.kept(10, recompute=False, half=True) == 3 * 10 * 5 * 3072
    assert SMALL.kept(10, recompute=True, half=False) == 4 * 10 * (4 * 128 + 2 * 3072)
    assert LEARNING == 12  # a gradient and two moments of 4 bytes
    assert SMALL.cache(rows=8, columns=100) == 2 * 4 * 4 * 64 * 8 * 100


def test_a_step_of_blocks_that_compute_as_one_by_hand() -> None:
    """A block: 6·128 + 2·64 + 3·384 = 2048 numbers a token, in 16 bits 2·128 + 1792 / 2 = 1152."""
    one = Network(hidden=128, layers=4, feedforward=384, keys=64, vocabulary=0, one_step=True)
    assert one.kept(10, recompute=False, half=False) == 4 * 10 * 4 * 2048
    assert one.kept(10, recompute=False, half=True) == 4 * 10 * 4 * 1152
    assert one.kept(10, recompute=True, half=False) == 4 * 10 * (4 * 128 + 2048)
    assert all(Network.of({"model_type": name}).one_step for name in ("llama", "mistral"))
    assert not Network.of({"model_type": "gpt2"}).one_step


def test_logits_are_kept_up_to_a_bound() -> None:
    wide = Network(vocabulary=1000)
    assert wide.kept(10, recompute=False, half=False) == 4 * 10 * 1000
    assert wide.kept(1e6, recompute=False, half=False) == 2**27


def test_what_a_shape_does_not_say_takes_nothing() -> None:
    assert Network(hidden=2, layers=3).kept(10, recompute=False, half=False) == 4 * 10 * 4 * 20  # no logits
    assert Network(hidden=2, keys=5).cache(rows=8, columns=100) == 0  # no layers


def test_shapes_come_from_anyones_config() -> None:
    llama = {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 384, "num_attention_heads": 4}
    assert Network.of(llama | {"num_key_value_heads": 2, "vocab_size": 9}) == Network(128, 4, 384, 64, 9)
    assert Network.of(llama | {"head_dim": 64, "vocab_size": 9}) == Network(128, 4, 384, 256, 9)
    assert Network.of({"n_embd": 64, "n_layer": 2, "n_head": 2, "n_inner": None, "vocab_size": 7}) == Network(
        64, 2, 256, 64, 7
    )
    assert Network.of({"text_config": llama, "hidden_size": 1}).hidden == 128
    assert Network.of({}).kept(10**6, recompute=False, half=False) == 0


def test_adapters_are_counted_as_peft_makes_them() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from heedful.config import Lora
    from heedful.models.lora import add_lora

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    config = LlamaConfig(**shape, num_key_value_heads=2, head_dim=8, vocab_size=50)
    with torch.device("meta"):
        lm = LlamaForCausalLM(config)
    add_lora(lm, Lora(rank=3), "nowhere", 0)
    learning = sum(p.numel() for p in lm.parameters() if p.requires_grad)
    assert learning == pytest.approx(adapters(Network.of(config.to_dict()), 3))
