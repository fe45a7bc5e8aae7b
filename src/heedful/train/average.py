"""A running average of the weights while they train (Polyak & Juditsky 1992), which is what the stage then saves.

a ← a + (1 − d)(w − a),   d = min(decay, (1 + t)/(10 + t)) after step t: young averages forget the start quickly
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from heedful.train.weights import put, share_of, weights


class Average:
    """Of everything that learns. With decay 0 there is none, and the weights are themselves."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.tensors = {name: tensor.clone() for name, tensor in weights(model).items()} if decay else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors.items():
            tensor.copy_(share_of(tensors[name], tensor))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step`, from 0."""
        if not self.tensors:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in weights(self.model).items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1.0 - decay)
            else:
                self.tensors[name].copy_(tensor)

    @property
    def chosen(self) -> dict[str, Tensor]:
        """What would be saved now."""
        return self.tensors or weights(self.model)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        own = {name: tensor.clone() for name, tensor in weights(self.model).items()} if self.tensors else {}
        self.settle()
        try:
            yield
        finally:
            if own:
                put(self.model, own)

    def settle(self) -> None:
        """Give the model the averaged weights, for good."""
        if self.tensors:
            put(self.model, self.tensors)
