"""Writes the hash of a small Llama's gradients in bfloat16, by blocks as one step: run as a process of its own."""

from __future__ import annotations

import sys
from hashlib import sha256

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from heedful.data.packing import Example, pack
from heedful.models.heads import Policy

torch.manual_seed(0)
lm = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
)
with torch.autocast("cpu", torch.bfloat16):
    logprobs = Policy(lm)(pack([Example(tuple(range(1, 60)), 3), Example(tuple(range(30, 2, -1)), 9)]))
logprobs.mean().backward()
gradients = [parameter.grad for parameter in lm.parameters() if parameter.grad is not None]
sys.stdout.write(sha256(b"".join(gradient.numpy().tobytes() for gradient in gradients)).hexdigest())
