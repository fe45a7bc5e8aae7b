"""The tensors of a model that training may change, by name: what checkpoints, averages and kept weights consist of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def places(model: nn.Module) -> dict[str, Tensor]:
    """Every such tensor once: tied weights under their first name; frozen ones are the stage's input and stay out."""
    kept = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    saved = model.state_dict().keys()
    return kept | {name: buffer for name, buffer in model.named_buffers() if name in saved}


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves, ready for a file."""
    return {name: tensor.detach().contiguous() for name, tensor in places(model).items()}


def fits(model: nn.Module, kept: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of such a model."""
    here = places(model)
    return kept.keys() == here.keys() and all(kept[name].shape == here[name].shape for name in kept)


@torch.no_grad()
def put(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Back into the model, in place."""
    for name, place in places(model).items():
        place.copy_(kept[name])
