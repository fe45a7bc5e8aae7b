"""The reference's log-probabilities of answers: computed once, kept on disk by the hash of what they hang on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from heedful.config import Training
from heedful.data.packing import Example, alike_together, groups_by_tokens, pack
from heedful.models.heads import Policy
from heedful.run import Run, atomic_folder
from heedful.train.processes import whole


def _name(examples: Sequence[Example], *conditions: str) -> str:
    """A hash of the tokens, which of them count, and under which conditions they are read."""
    hasher = hashlib.sha256(repr(conditions).encode())
    for example in examples:
        hasher.update(f"{example.answer}:{example.ids}\n".encode())
    return hasher.hexdigest()[:32]


def _read(file: Path, count: int) -> Tensor:
    """What an earlier attempt kept, or nothing where it kept nothing sound."""
    try:
        kept: Tensor = load_file(str(file))["logprobs"]
    except (OSError, SafetensorError, KeyError):
        return torch.zeros(0)
    return kept if kept.shape == (count,) else torch.zeros(0)


@torch.no_grad()
def target_logprobs(
    policy: Policy, examples: Sequence[Example], *, tokens: int, accelerator: Accelerator
) -> tuple[Tensor, ...]:
    """Log-probability of every target of each example, by the same packed pass that training takes. (targets,) each

    Each process computes its share, and all get the whole.
    """
    lengths = [example.targets for example in examples]
    order = np.array(alike_together([example.ids for example in examples]), dtype=np.int64)
    mine: list[int] = np.array_split(order, accelerator.num_processes)[accelerator.process_index].tolist()
    found = torch.zeros(sum(lengths))
    places = torch.split(torch.arange(len(found)), lengths)
    with whole(accelerator):
        for group in groups_by_tokens([len(examples[i].ids) for i in mine], tokens):
            members = [mine[place] for place in group]
            batch = pack([examples[i] for i in members]).to(accelerator.device)
            with accelerator.autocast():
                logprobs = policy(batch)
            found[torch.cat([places[i] for i in members])] = logprobs.float().cpu()
    return torch.split(_over_processes(found, accelerator), lengths)


def _over_processes(values: Tensor, accelerator: Accelerator) -> Tensor:
    """Sums over all processes, on the CPU."""
    reduced: Tensor = accelerator.reduce(values.to(accelerator.device), "sum")
    return reduced.cpu()


def reference_logprobs(
    reference: Policy,
    examples: Sequence[Example],
    *,
    model: str,
    training: Training,
    run: Run,
    accelerator: Accelerator,
) -> tuple[Tensor, ...]:
    """`target_logprobs`, computed once. `model` is the hash of the reference's folder. (targets,) each"""
    lengths = [example.targets for example in examples]
    name = _name(examples, model, training.precision)
    folder = run.cache(f"reference-{name}")
    kept = _read(folder / "logprobs.safetensors", sum(lengths)) if run.main else torch.zeros(0)
    shared = torch.zeros(sum(lengths) + 1)  # rank 0 tells the others what it found, and that it found something
    if run.main and len(kept):
        shared = torch.cat([kept, torch.ones(1)])
    shared = _over_processes(shared, accelerator)
    if shared[-1]:
        return torch.split(shared[:-1], lengths)
    found = target_logprobs(reference, examples, tokens=training.tokens_per_batch, accelerator=accelerator)
    if run.main:
        with atomic_folder(folder) as scratch:
            save_file({"logprobs": torch.cat(found)}, str(scratch / "logprobs.safetensors"))
    return found
