"""The tensors of a model that training may change, by name: what checkpoints, averages and kept weights consist of.

Each may be this process's share of a whole; files hold wholes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from heedful.train.sharding import gathered


def places(model: nn.Module) -> dict[str, Tensor]:
    """Every such tensor once: tied weights under their first name; frozen ones are the stage's input and stay out."""
    kept = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    saved = model.state_dict().keys()
    return kept | {name: buffer for name, buffer in model.named_buffers() if name in saved}


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves."""
    return {name: tensor.detach() for name, tensor in places(model).items()}


def for_file(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors. Where they are in shares all processes must ask, and only those that `keep` any get them."""
    found = {}
    for name, tensor in tensors.items():
        whole = gathered(tensor)
        if keep:  # one after the other, and not where the model computes: together they may not fit there
            found[name] = whole.cpu() if isinstance(tensor, DTensor) else whole.contiguous()
    return found


def fits(model: nn.Module, kept: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of such a model."""
    here = places(model)
    return kept.keys() == here.keys() and all(kept[name].shape == here[name].shape for name in kept)


def share_of(whole: Tensor, like: Tensor) -> Tensor:
    """As much of a tensor as this process keeps of one `like` it."""
    if not isinstance(like, DTensor) or isinstance(whole, DTensor):
        return whole.to(like.device)
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def put(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Back into the model, in place."""
    for name, place in places(model).items():
        place.copy_(share_of(kept[name], place))
