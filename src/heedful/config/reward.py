"""What the reward model is trained on, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heedful.config.sections import InputPath, Lora, Name, Optim, Section, Training


class RewardConfig(Section):
    """Train a reward model on rankings or comparisons (Bradley-Terry)."""

    type: Literal["reward"] = "reward"
    name: Name = "reward"
    model: InputPath
    """Where the backbone comes from, usually the SFT model."""
    data: list[InputPath]
    """Rankings or comparisons to train on."""
    heldout: list[InputPath] = []
    """Rankings or comparisons to report accuracy on."""
    calibration: list[InputPath] = []
    """SFT samples (completions) whose scores set the affine: mean, and standard deviation within a prompt."""
    prompts_per_step: int = Field(8, ge=1)
    """Rankings in one optimizer step; a ranking's pairs stay together and weigh 1 in all."""
    centering: float = Field(0.0, ge=0)
    """Weight of the (score sum)² term that keeps scores near zero (Eisenstein 2023)."""
    optim: Optim = Optim(lr=1e-3, warmup=20, betas=(0.9, 0.99))
    lora: Lora = Lora()
    """On the backbone; the new head always learns whole."""
    training: Training = Training()
