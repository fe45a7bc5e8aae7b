"""From comparisons straight to a policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heedful.config.sections import InputPath, Lora, Name, Optim, Section, Training


class DPOConfig(Section):
    """Direct preference optimisation on the same comparisons (Rafailov 2023)."""

    type: Literal["dpo"] = "dpo"
    name: Name = "dpo"
    model: InputPath
    """The SFT model: where the policy starts, and the frozen reference."""
    data: list[InputPath]
    """Rankings or comparisons to train on."""
    heldout: list[InputPath] = []
    """Rankings or comparisons to report accuracy on."""
    limit: int = Field(0, ge=0)
    """Most sets of answers to train on, drawn at random; 0: all. Less work than a part of an epoch, as the reference
    then reads no others."""
    beta: float = Field(0.1, gt=0)
    """How strongly the policy is held to the reference."""
    prompts_per_step: int = Field(8, ge=1)
    """Rankings in one optimizer step."""
    optim: Optim = Optim(lr=2e-4)
    lora: Lora = Lora()
    training: Training = Training()
