"""Policies that write: seeded for each sample, with exact log-probabilities."""

from __future__ import annotations

from heedful.config.sampler import SamplerConfig
from heedful.models.heads import Policy
from heedful.run import console
from heedful.sampling.native import NativeSampler
from heedful.sampling.protocol import Sampled, Sampler, SamplingParams
from heedful.sampling.transformers_sampler import TransformersSampler
from heedful.sampling.vllm_engine import InProcess, VLLMSampler
from heedful.sampling.vllm_server import Server
from heedful.sampling.weights import can_read

__all__ = ["NativeSampler", "Sampled", "Sampler", "SamplingParams", "TransformersSampler", "make_sampler"]

DEFAULT = SamplerConfig()


def make_sampler(policy: Policy, engine: SamplerConfig = DEFAULT, rows: int = 256) -> Sampler:
    """The engine that the config names; `native` says so where it is the slow one. `rows`: decoded together."""
    match engine.type:
        case "vllm":
            return VLLMSampler(policy, InProcess(rows))
        case "vllm_server":
            return VLLMSampler(policy, Server(engine.url, rows), engine.folder)
        case "transformers":
            return TransformersSampler(policy)
    if can_read(policy.lm):
        return NativeSampler(policy)
    console.print(
        f"      sample {policy.lm.config.model_type} models (or adapted layers) are not among the native sampler's "
        "families: sampling goes through transformers, several times slower"
    )
    return TransformersSampler(policy)
