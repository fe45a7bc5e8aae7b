"""What a policy is paid for: reward models and functions, named and weighted, and the price of a bad length."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heedful.config.sections import CodePath, InputPath, Name, Section

Weight = Annotated[float, Field(description="What the part is multiplied with before the parts are added.")]
WithinPrompt = Annotated[
    bool,
    Field(
        description="Standardise over the answers to one prompt before weighting (GDPO): parts of any scale then "
        "weigh alike."
    ),
]


class ModelPart(Section):
    """A reward model as one part of what is paid."""

    type: Literal["model"] = "model"
    model: InputPath
    """The reward model's folder."""
    affine: bool = True
    """Use the reward model's stored mean and standard deviation."""
    weight: Weight = 1.0
    within_prompt: WithinPrompt = False


class FunctionPart(Section):
    """A Python function as one part of what is paid: a check that can be computed is a reward like any other."""

    type: Literal["function"] = "function"
    function: CodePath
    """`module:function` or `file.py:function`; called as `function(prompt, completion) -> float`, where `prompt` has
    `messages` and `meta`."""
    mean: float = 0.0
    """Taken from what the function returns."""
    std: float = Field(1.0, gt=0)
    """Divides it after that."""
    weight: Weight = 1.0
    within_prompt: WithinPrompt = False


class EnsemblePart(Section):
    """Several reward models that were trained apart, as one part of what is paid (Coste 2023)."""

    type: Literal["ensemble"] = "ensemble"
    members: InputPath
    """The `members` folder of a reward stage."""
    combine: Literal["mean", "worst", "penalised"] = "mean"
    """The members' mean, their worst, or mean − penalty · variance."""
    penalty: float = Field(0.0, ge=0)
    """λ of `penalised`; 0.5 is usual."""
    weight: Weight = 1.0
    within_prompt: WithinPrompt = False

    @model_validator(mode="after")
    def _penalised_has_a_penalty(self) -> Self:
        if (self.combine == "penalised") != (self.penalty > 0):
            raise ValueError(
                f'combine = "{self.combine}" with penalty = {self.penalty:g}: "penalised" needs a penalty above 0 '
                "(0.5 is usual), and only it reads one"
            )
        return self


class LikelihoodPart(Section):
    """How likely a language model finds the answer, in nats, as one part of what is paid. A DPO policy against the
    model it was trained from is a reward model (Rafailov 2023, §4); a base model alone knows what is usual."""

    type: Literal["likelihood"] = "likelihood"
    model: InputPath
    """A causal model's folder."""
    reference: InputPath = ""
    """A causal model whose log-probability is taken off: for a DPO policy, the model it was trained from."""
    per_token: bool = False
    """The mean over the answer's tokens, not their sum: without a reference, so that length costs nothing."""
    mean: float = 0.0
    """Taken from it."""
    std: float = Field(1.0, gt=0)
    """Divides it after that."""
    weight: Weight = 1.0
    within_prompt: WithinPrompt = False


LOGGED = {"mean", "std", "total", "clipped", "length_correlation"}  # reward/… figures of a whole rollout
RewardPart = Annotated[ModelPart | EnsemblePart | FunctionPart | LikelihoodPart, Field(discriminator="type")]


class Rewards(Section):
    """What the policy is paid for: a reward model, named parts, or both added up."""

    model: InputPath = ""
    """A reward model's folder; the whole reward where there are no `parts`, else one more part of weight 1."""
    affine: bool = True
    """Use `model`'s stored mean and standard deviation, so that β is in SFT-sample units."""
    parts: dict[Name, RewardPart] = {}
    """Name → a reward model, an ensemble, a likelihood or a function, with its weight; see ModelPart,
    EnsemblePart, LikelihoodPart, FunctionPart."""
    missing_eos_penalty: float = Field(1.0, ge=0)
    """Taken from the score of an answer that was cut at the length limit."""
    overlong: float = Field(0.0, ge=0, lt=1)
    """The last share of the length limit over which that penalty sets in little by little (DAPO's soft overlong
    punishment); 0: all of it, and only where an answer was cut."""
    clip: float = Field(0.0, ge=0)
    """Largest absolute score; 0 is off."""

    @model_validator(mode="after")
    def _something_is_paid(self) -> Self:
        if not self.model and not self.parts:
            raise ValueError("nothing is paid for: set rewards.model to a reward model, or name parts in rewards.parts")
        if "model" in self.parts and self.model:
            raise ValueError("rewards.model and rewards.parts.model would be logged under one name: rename the part")
        if taken := sorted(LOGGED & set(self.parts)):
            raise ValueError(
                f"rewards.parts.{taken[0]} would be logged as reward/{taken[0]}, which is a figure of its own: "
                "rename the part"
            )
        if self.overlong and not self.missing_eos_penalty:
            raise ValueError(
                "overlong lets missing_eos_penalty set in little by little, and that is 0: set it above 0, or drop "
                "overlong"
            )
        return self
