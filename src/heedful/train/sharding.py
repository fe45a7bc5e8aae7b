"""Weights in shares: of every weight that learns, of its gradient and of its moments each process keeps one part.

FSDP2, which is ZeRO's third stage (Rajbhandari 2020). What learns is a copy of the stage's model in which every block
is gathered while it computes, and put away again. The stage's own model, which samplers and readers hold, has its
weights only inside `whole`, and for good once training has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer


class Shares:
    """A model whose weights are shared out over all processes, which begin with equal ones."""

    def __init__(self, model: nn.Module, accelerator: Accelerator) -> None:
        self.model = model
        self.learner = _copy(model)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for part in self.learner.modules():
            if isinstance(part, GradientCheckpointingLayer):  # a transformer block
                fully_shard(part, mesh=mesh)
        fully_shard(self.learner, mesh=mesh)  # what stands in no block
        self._users = 0
        for parameter in model.parameters():
            parameter.data = torch.empty_like(parameter)  # a weight that is mapped from its file can't be given back
        self._give_back()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, the stage's model has the weights that the learner has now, on every process. All must enter."""
        if not self._users:
            self.fill()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._give_back()

    @torch.no_grad()
    def fill(self) -> None:
        """The learner's weights into the stage's model, for good."""
        shares = dict(self.learner.named_parameters())
        for name, parameter in self.model.named_parameters():
            parameter.untyped_storage().resize_(parameter.nbytes)
            parameter.copy_(gathered(shares[name]))

    def _give_back(self) -> None:
        """The model's weights leave memory; their shapes stay."""
        for parameter in self.model.parameters():
            parameter.untyped_storage().resize_(0)


def _copy(model: nn.Module) -> nn.Module:
    """The same model with weights of its own. Buffers, and networks that stand outside, are shared."""
    outside: tuple[nn.Module, ...] = getattr(model, "outside", ())
    learning = {id(parameter) for parameter in model.parameters()}
    strangers = [p for network in outside for p in network.parameters() if id(p) not in learning]
    return deepcopy(model, {id(tensor): tensor for tensor in (*model.buffers(), *strangers)})


def gathered(tensor: Tensor) -> Tensor:
    """The whole of what may be one process's share. All must ask."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
