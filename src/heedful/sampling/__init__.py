"""Policies that write: seeded for each sample, with exact log-probabilities."""

from __future__ import annotations

import torch

from heedful.config.sampler import SamplerConfig
from heedful.models.heads import Policy
from heedful.ops.rates import faster_precision
from heedful.run import console
from heedful.sampling.native import NativeSampler
from heedful.sampling.protocol import Sampled, Sampler, SamplingParams
from heedful.sampling.transformers_sampler import TransformersSampler
from heedful.sampling.vllm_engine import InProcess, VLLMSampler
from heedful.sampling.vllm_server import Server
from heedful.sampling.weights import can_compile, can_read

__all__ = ["NativeSampler", "Sampled", "Sampler", "SamplingParams", "TransformersSampler", "make_sampler"]

DEFAULT = SamplerConfig()


def make_sampler(policy: Policy, engine: SamplerConfig = DEFAULT, rows: int = 256) -> Sampler:
    """The engine that the config names; `native` says so where it is the slow one. `rows`: decoded together."""
    match engine.type:
        case "vllm":
            return VLLMSampler(policy, InProcess(rows, engine.precision))
        case "vllm_server":
            return VLLMSampler(policy, Server(engine.url, rows), engine.folder)
        case "transformers":
            return TransformersSampler(policy)
    if can_read(policy.lm):
        halved = engine.precision == "bfloat16" and _pays_in_bfloat16(policy)
        return NativeSampler(policy, torch.bfloat16 if halved else torch.float32)
    console.print(
        f"      sample {policy.lm.config.model_type} models (or adapted layers) are not among the native sampler's "
        "families: sampling goes through transformers, several times slower"
    )
    return TransformersSampler(policy)


def _pays_in_bfloat16(policy: Policy) -> bool:
    """Whether the native sampler is faster in bfloat16 here; says so where it isn't."""
    if policy.lm.device.type == "cuda":
        paid = faster_precision(policy.lm.device) == "bfloat16"
        if not paid:
            console.print("      sample this card has no bfloat16 of its own: sampling in float32")
        return paid
    if can_compile(policy):
        from heedful.ops.compiled.tiles import HAS_PAIRS

        if HAS_PAIRS:
            return True
    console.print(
        "      sample sampler.precision = 'bfloat16' is for cards, and for Llama, Mistral and Qwen models on "
        "processors with AVX512_BF16: sampling in float32"
    )
    return False
