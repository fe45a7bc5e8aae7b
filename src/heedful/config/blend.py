"""Several reward models and likelihoods as one reward, weighed by held-out judgements."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from heedful.config.sections import InputPath, Name, Section


class BlendPart(Section):
    """One of the things that a blend weighs: a reward model's score, or a language model's likelihood of the answer."""

    model: InputPath
    """A reward model's folder, or a causal model's: then the part is the answer's log-probability, in nats."""
    reference: InputPath = ""
    """Of a causal model: another one whose log-probability is taken off. For a DPO policy, the model it was trained
    from: the part is then DPO's implicit reward (Rafailov 2023, §4)."""
    per_token: bool = False
    """Of a causal model: the mean over the answer's tokens, not their sum, so that length costs nothing."""


class BlendConfig(Section):
    """Weigh reward models and likelihoods into one reward, as agrees best with judgements that none was trained on."""

    type: Literal["blend"] = "blend"
    name: Name = "blend"
    parts: dict[Name, BlendPart]
    """Name → what is weighed: at least two; PPO's critic begins from the first reward model among them."""
    data: list[InputPath] = Field(min_length=1)
    """Rankings that no part was trained on: the `heldout.jsonl` of a label stage."""
    calibration: list[InputPath] = []
    """Samples of the SFT model: their mean and their standard deviation within a prompt are the reward's scale."""
    folds: int = Field(5, ge=2)
    """Accuracy is of prompts that the weights were not fitted on: these are so many parts, each judged by the rest."""

    @model_validator(mode="after")
    def _there_is_something_to_weigh(self) -> Self:
        if len(self.parts) < 2:
            raise ValueError("parts: a blend weighs at least two; use a single reward model as it is")
        if "raw" in self.parts:
            raise ValueError("parts.raw would be logged as reward/raw, which is the whole blend's: rename the part")
        return self
