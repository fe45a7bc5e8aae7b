"""Gradient checkpointing (Chen 2016): blocks keep their inputs alone and are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from heedful.errors import InputError

AGAIN = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)  # nothing draws in a forward pass


def blocks_of(model: nn.Module) -> list[GradientCheckpointingLayer]:
    """The transformer blocks of a model. InputError: it has none that can be computed again."""
    blocks = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not blocks:
        raise InputError(
            f"training.gradient_checkpointing: {type(model).__name__} has no blocks that can be computed again; "
            "leave it out and lower training.tokens_per_batch instead"
        )
    return blocks


@contextmanager
def recomputing(model: nn.Module, on: bool) -> Iterator[None]:
    """Inside, backward passes compute blocks again; outside, sampling and measuring are as always."""
    blocks = blocks_of(model) if on else []
    before = [block.training for block in blocks]
    for block in blocks:
        block._gradient_checkpointing_func = AGAIN
        block.gradient_checkpointing = block.training = True  # transformers asks for both; dropout is off everywhere
    try:
        yield
    finally:
        for block, training in zip(blocks, before, strict=True):
            block.gradient_checkpointing, block.training = False, training
