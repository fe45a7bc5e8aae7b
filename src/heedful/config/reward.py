"""What the reward model is trained on, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.sections import InputPath, Lora, Name, Optim, Section, Training


class BradleyTerry(Section):
    """From comparisons or rankings: all pairs of a ranking, a score in log-odds."""

    type: Literal["bradley_terry"] = "bradley_terry"
    centering: float = Field(0.0, ge=0)
    """Weight of the (score sum)² term that keeps scores near zero (Eisenstein 2023)."""


class PlackettLuce(Section):
    """From rankings: the best of all answers, then the best of the rest."""

    type: Literal["plackett_luce"] = "plackett_luce"
    centering: float = Field(0.0, ge=0)
    """Weight of the (score sum)² term that keeps scores near zero (Eisenstein 2023)."""


class Odin(Section):
    """From comparisons or rankings: a second head takes what length explains, and is dropped (Chen 2024)."""

    type: Literal["odin"] = "odin"
    decorrelation: float = Field(0.1, ge=0)
    """λ_L: weight of |ρ(quality, length)| − ρ(length head, length)."""
    orthogonality: float = Field(1.0, ge=0)
    """λ_O: weight of |W_Q · W_L|."""


class Pairwise(Section):
    """From comparisons or rankings: a model that reads both answers side by side, in both orders."""

    type: Literal["pairwise"] = "pairwise"


class Regression(Section):
    """From ratings: one head for each criterion."""

    type: Literal["regression"] = "regression"
    weights: dict[str, float] = {}
    """Criterion → its weight in the one reward, in the ratings' own units; empty: all alike, summing to 1."""


class Outcome(Section):
    """From answers that are right or wrong (`label`): the log-odds that an answer is right."""

    type: Literal["outcome"] = "outcome"
    every_token: bool = False
    """Learn the label at every token of the answer, not at its last alone (Cobbe 2021)."""


class Process(Section):
    """From answers whose steps are labelled: the chance that each step is right."""

    type: Literal["process"] = "process"
    steps: Literal["lines", "sentences"] = "lines"
    """What a step is in an answer that is to be scored."""
    score: Literal["min", "product", "mean", "last", "sum"] = "min"
    """How the steps' chances become the answer's reward; `sum` pays for every step more, so a policy will add some."""
    first_error: bool = True
    """Learn no further than the first wrong step (Lightman 2023)."""


RewardLoss = Annotated[
    BradleyTerry | PlackettLuce | Odin | Pairwise | Regression | Outcome | Process, Field(discriminator="type")
]


class RewardConfig(Section):
    """Train a reward model on people's judgements, of one kind or another."""

    type: Literal["reward"] = "reward"
    name: Name = "reward"
    model: InputPath
    """Where the backbone comes from, usually the SFT model."""
    data: list[InputPath] = Field(min_length=1)
    """What to train on: rankings or comparisons; ratings, labels or labelled steps where `loss` wants them."""
    heldout: list[InputPath] = []
    """Judgements of the same kind to report accuracy on."""
    calibration: list[InputPath] = []
    """SFT samples (completions) whose scores set the affine: mean, and standard deviation within a prompt."""
    prompts_per_step: int = Field(8, ge=1)
    """Rankings in one optimizer step, whose pairs stay together and weigh 1 in all; or rated answers."""
    loss: RewardLoss = BradleyTerry()
    """What is learnt from which kind of judgement; `loss.type` is one of the sections above."""
    members: int = Field(1, ge=1, le=16)
    """Above 1: an ensemble, each with a data order of its own, in `members/K/model`; `model` has their mean weights."""
    optim: Optim = Optim(lr=1e-3, warmup=20, betas=(0.9, 0.99))
    lora: Lora = Lora()
    """On the backbone; the new head always learns whole."""
    training: Training = Training()
