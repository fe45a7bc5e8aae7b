"""Policies that write: seeded for each sample, with exact log-probabilities."""

from __future__ import annotations

from heedful.models.heads import Policy
from heedful.run import console
from heedful.sampling.native import NativeSampler
from heedful.sampling.protocol import Sampled, Sampler, SamplingParams
from heedful.sampling.transformers_sampler import TransformersSampler
from heedful.sampling.weights import can_read

__all__ = ["NativeSampler", "Sampled", "Sampler", "SamplingParams", "TransformersSampler", "make_sampler"]


def make_sampler(policy: Policy) -> Sampler:
    """The fastest sampler for this policy; says so where that is the slow one."""
    if can_read(policy.lm):
        return NativeSampler(policy)
    console.print(
        f"      sample {policy.lm.config.model_type} models (or adapted layers) are not among the native sampler's "
        "families: sampling goes through transformers, several times slower"
    )
    return TransformersSampler(policy)
