"""Low-rank adapters (Hu 2021), through peft: W x + α/r · B A x, where W is frozen and only A and B learn.

B begins at zero, so an adapted model begins as the model it stands on; with its adapters off it stays that model, which
is how it serves as its own reference. Merged, the adapters leave a plain model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from heedful.batches import PackedBatch
from heedful.config import Lora
from heedful.errors import InputError
from heedful.models.attention import plain_attention
from heedful.models.heads import Policy
from heedful.run import digest

ADAPTER = "default"  # peft's name for the only one
PREFIX = "base_model.model."  # what peft puts before a parameter's name in a file
ORIGIN = "heedful.json"  # beside peft's own files: which base the adapters belong to, and its hash
TOLERANCE = 1e-4  # of the largest output: how far merged weights may be from adapters beside them, in float32


def add_lora(model: PreTrainedModel, lora: Lora, base: str | Path, seed: int) -> str:
    """Freeze a model and put adapters beside its layers; a new scalar head goes on learning whole.

    base: the folder that the model was loaded from. Returns a sentence with the parameter counts, "" where
    `lora.rank` is 0 and all weights learn. InputError: `lora.layers` names what is no linear layer of this model.
    """
    if not lora.rank:
        return ""
    from peft import LoraConfig, TaskType, inject_adapter_in_model

    head = getattr(model, "score", None)
    layers = _layers(model)
    if unknown := set(lora.layers) - layers:
        raise InputError(
            f"lora.layers names {', '.join(sorted(unknown))}, but the linear layers of {type(model).__name__} that "
            f"take adapters are {', '.join(sorted(layers))}"
        )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha or 2 * lora.rank,
        target_modules=lora.layers or "all-linear",
        task_type=TaskType.SEQ_CLS if head is not None else TaskType.CAUSAL_LM,
        base_model_name_or_path=str(base),
        fan_in_fan_out=any(isinstance(part, Conv1D) for part in model.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # A is drawn, B is zero
        inject_adapter_in_model(config, model)
    if head is not None:
        head.requires_grad_(True)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    adapted = sum(1 for part in model.modules() if is_adapted(part))
    return (
        f"LoRA of rank {lora.rank} on {adapted} layers: {learning:,} parameters learn beside {total - learning:,} "
        f"frozen ones ({learning / (total - learning):.1%})"
    )


def _layers(model: PreTrainedModel) -> set[str]:
    """Names of the linear layers below the head. A score head learns whole, and what the output head says belongs to
    the reference too, which has the adapters off in its hidden states alone."""
    heads = (getattr(model, "score", None), model.get_output_embeddings())
    return {
        name.rpartition(".")[2]
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and not any(part is head for head in heads)
    }


def is_adapted(layer: nn.Module) -> bool:
    """Whether a layer is a linear one with adapters beside it."""
    return hasattr(layer, "lora_A") and hasattr(layer, "base_layer")


def has_adapters(model: nn.Module) -> bool:
    return any(is_adapted(part) for part in model.modules())


def plain_layer(layer: Any) -> Any:
    """The frozen layer that adapters stand on; a layer without any is itself."""
    return layer.base_layer if is_adapted(layer) else layer


def whole_weight(layer: Any) -> Tensor:
    """A linear layer's weight with its adapters worked in: W + α/r · B A."""
    weight: Tensor = plain_layer(layer).weight
    if not is_adapted(layer) or layer.disable_adapters:
        return weight
    delta: Tensor = layer.get_delta_weight(ADAPTER)
    return weight + delta


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside the block the model says exactly what it said before adapters were added."""
    adapted: list[Any] = [part for part in model.modules() if is_adapted(part)]
    for layer in adapted:
        layer._disable_adapters = True  # peft's own switch also freezes the adapters, which would undo their training
    try:
        yield
    finally:
        for layer in adapted:
            layer._disable_adapters = False


class Underlying(Policy):
    """What an adapted policy stands on: the same weights with the adapters off, so no second copy in memory."""

    def hidden(self, batch: PackedBatch) -> Tensor:
        with adapters_off(self.lm):
            return super().hidden(batch)


@torch.no_grad()
def merge_adapters(model: PreTrainedModel) -> float:
    """Work the adapters into the weights, for good. Returns the largest difference in what the model says.

    ValueError: the merged model says something else than the adapted one.
    """
    before = _said_by(model)
    for name, layer in [(name, part) for name, part in model.named_modules() if is_adapted(part)]:
        plain = plain_layer(layer)
        plain.weight.copy_(whole_weight(layer))
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, plain)
    del model.peft_config
    gap, scale = float((_said_by(model) - before).abs().max()), max(1.0, float(before.abs().max()))
    if not gap <= TOLERANCE * scale:
        raise ValueError(f"{type(model).__name__}: merging the adapters changed its outputs by {gap:.2g}")
    return gap


def _said_by(model: PreTrainedModel) -> Tensor:
    """Logits, or a score, on a few tokens from all over the vocabulary."""
    ids = [(i * 7919 + 1) % model.config.vocab_size for i in range(12)]
    with plain_attention(model) as plain:
        logits: Tensor = plain(torch.tensor([ids], device=model.device), use_cache=False).logits
    return logits.float()


def write_adapters(model: PreTrainedModel, folder: Path, home: Path) -> None:
    """The adapters alone (and a new head), as peft writes and reads them; beside them which base they belong to.

    home: where the folder will stand, from which the base's place is told.
    """
    config = model.peft_config[ADAPTER]  # type: ignore[index]
    learnt = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    heads = sorted({name.split(".")[0] for name in learnt if "lora_" not in name})
    stored = replace(config, inference_mode=True, modules_to_save=heads or None).to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in stored.items()}
    tensors = {PREFIX + n.replace(f".{ADAPTER}.", "."): t.detach().cpu().contiguous() for n, t in learnt.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    base = Path(str(config.base_model_name_or_path))
    origin = {"base": os.path.relpath(base, home), "base_sha256": digest(base)}
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
