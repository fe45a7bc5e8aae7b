"""Linear layers as the decoding loop multiplies by them: the model's own weights, or a copy packed for oneDNN."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from heedful.models.lora import plain_layer, whole_weight

PACK_ROWS = 4  # with fewer rows a product only streams the weights, and packed ones stream slower
PACK_STEPS = 32  # packing costs as much time as it saves in 16 to 35 steps
PACK_SIZE = 1 << 18  # entries: below it a call costs more than the product gains


class Linear(Protocol):
    """x Wᵀ + b. Shapes: n rows, I inputs, O outputs."""

    def __call__(self, x: Tensor) -> Tensor:
        """(n, I) -> (n, O)"""
        ...

    def onto(self, x: Tensor, residual: Tensor) -> Tensor:
        """residual + x Wᵀ + b in one call. x (n, I), residual (n, O) -> (n, O)"""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Through torch's own product."""

    matrix: Tensor  # (I, O), a transposed view where the model stores (O, I)
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.matrix) if self.bias is None else torch.addmm(self.bias, x, self.matrix)

    def onto(self, x: Tensor, residual: Tensor) -> Tensor:
        out = torch.addmm(residual, x, self.matrix)
        return out if self.bias is None else out.add_(self.bias)


@dataclass(frozen=True, slots=True)
class Packed:
    """Through oneDNN, whose blocked copy of the weights is read from end to end: no product lays them out again."""

    weight: Tensor  # an opaque blocked copy of (O, I)
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out

    def onto(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        return out


@dataclass(frozen=True, slots=True)
class Packing:
    """Whether weights are worth packing: decided from what is to be decoded alone, so it is the same every time."""

    rows: int  # decoded together
    steps: int  # the longest answer's tokens

    def linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        """A layer from weights (O, I)."""
        if (
            self.rows >= PACK_ROWS
            and self.steps >= PACK_STEPS
            and weight.numel() >= PACK_SIZE
            and _can_pack(weight.device, weight.dtype)
        ):
            return Packed(torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), max(32, self.rows)), bias)
        return Plain(weight.t(), bias)

    def fused(self, parts: Sequence[tuple[Tensor, Tensor | None]]) -> Linear:
        """Weights and biases of several layers on the same input as one product."""
        weight = torch.cat([weight for weight, _ in parts])
        if all(bias is None for _, bias in parts):
            return self.linear(weight, None)
        biases = [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in parts]
        return self.linear(weight, torch.cat(biases))


def parts_of(layer: Any) -> tuple[Tensor, Tensor | None]:
    """A layer's weight as the model stores it, adapters worked in, and its bias."""
    return whole_weight(layer), plain_layer(layer).bias


def _can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """oneDNN's float32 products on x86; elsewhere it is another library's, and not measured."""
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return device.type == "cpu" and dtype == torch.float32 and on_x86 and torch.backends.mkldnn.is_available()
