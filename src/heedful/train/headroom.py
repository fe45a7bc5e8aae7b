"""Whether the next step fits in the memory that is free, asked before it is begun: an operating system that runs out
of memory ends a process without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from heedful.batches import Batch, tokens_in
from heedful.config import Training
from heedful.errors import ResourceError
from heedful.models.fused.layer import is_fused
from heedful.ops.footprint import FLOAT, LEARNING, Network
from heedful.ops.memory import memory_free_on

FEWEST = 64  # tokens_per_batch can't be lower


class Headroom:
    """Asks at the first step, and again whenever a forward pass would read more tokens than any before."""

    def __init__(self, model: nn.Module, training: Training, stage: str, accelerator: Accelerator) -> None:
        self.training, self.stage, self.accelerator = training, stage, accelerator
        half = training.precision == "bfloat16"
        self.networks = [shape_of(network, half) for network in _outermost(model) if _learns(network)]
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        buckets = FLOAT if accelerator.use_distributed else 0  # gradients on their way to the others
        share = accelerator.num_processes if training.sharding == "full" else 1
        self.gradients = learning * (FLOAT + buckets) / share  # bytes that stay from the first step on
        self.moments = learning * (LEARNING - FLOAT) / share  # the same; a resumed run has them before
        self.adapted = any(not p.requires_grad for p in model.parameters())
        self.seen = 0

    def kept(self, tokens: float) -> float:
        """Bytes at the peak of one forward and backward pass over so many tokens."""
        again, half = self.training.gradient_checkpointing, self.training.precision == "bfloat16"
        return sum(network.kept(tokens, recompute=again, half=half) for network in self.networks)

    def needed(self, tokens: int) -> float:
        """Bytes that a step with this largest batch takes beyond what the steps before it took."""
        return self.kept(tokens) - self.kept(self.seen) + (0.0 if self.seen else self.gradients + self.moments)

    def must_fit(self, batches: Sequence[Batch]) -> None:
        """ResourceError where the step's largest batch does not fit."""
        tokens = max(tokens_in(batch) for batch in batches)
        if tokens <= self.seen:
            return
        device = self.accelerator.device
        sharers = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
        free, needed = memory_free_on(device) / sharers, self.needed(tokens)
        if free and needed > free:
            raise ResourceError(
                f"{self.stage}: a step of {tokens} tokens at once takes about {needed / 1e9:.2f} GB more, and "
                f"{free / 1e9:.2f} GB are free: {self._mend(tokens, free - needed)}"
            )
        self.seen = tokens

    def _mend(self, tokens: int, over: float) -> str:
        """The setting to lower; over: the free bytes less those needed, below 0."""
        each = self.kept(tokens) / tokens
        fits = int(tokens + over / each) if each else 0
        again = "" if self.training.gradient_checkpointing else ", or set training.gradient_checkpointing = true"
        if fits >= FEWEST and tokens <= self.training.tokens_per_batch:
            return f"lower training.tokens_per_batch to {fits} or less (the result stays the same){again}"
        if fits >= FEWEST:
            return f"one item alone has {tokens} tokens: leave out those of more than {fits}{again}"
        if self.adapted:
            return "take a smaller model"
        return "gradients and moments of all weights are too many: set lora.rank (16 is usual), or take a smaller model"


def shape_of(network: PreTrainedModel, half: bool) -> Network:
    """A live network's; one without a language model's head makes no logits."""
    config = network.config.to_dict()
    shape = Network.of(config if network.get_output_embeddings() is not None else config | {"vocab_size": 0})
    return replace(shape, one_step=is_fused(network, half))


def _outermost(model: nn.Module) -> Iterator[PreTrainedModel]:
    """transformers' models inside, not the backbones inside these."""
    for part in model.children():
        if isinstance(part, PreTrainedModel):
            yield part
        else:
            yield from _outermost(part)


def _learns(network: PreTrainedModel) -> bool:
    return any(parameter.requires_grad for parameter in network.parameters())
