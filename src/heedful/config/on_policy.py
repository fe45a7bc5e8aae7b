"""PPO: the policy practises with a critic beside it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from heedful.config.rewards import Rewards
from heedful.config.sampler import SamplerConfig
from heedful.config.sections import (
    Generation,
    InputPath,
    KLControl,
    Lora,
    Name,
    Optim,
    Section,
    Training,
    changed,
)

ImportanceCap = Annotated[
    float,
    Field(
        ge=0,
        description="Largest weight π_old(trainer)/π(sampler) that corrects an answer's policy loss where the sampler "
        "computes a little differently (bfloat16, another engine): at least 1, 2 is common; 0: off.",
    ),
]
Overlap = Annotated[
    bool,
    Field(
        description="Sample the next rollout in the background while this one is learned from: its answers come from "
        "weights one rollout older, which `importance_cap` must correct. For engines that compute elsewhere."
    ),
]


def refuse_uncorrected(overlap: bool, cap: float) -> None:
    """Answers of older weights with nothing that says so to the loss."""
    if overlap and not cap:
        raise ValueError("overlap learns from answers of older weights: set importance_cap (2 is common), or leave it")


def refuse_shrinking(cap: float) -> float:
    """A cap below 1 would shrink even what both agree on."""
    if 0 < cap < 1:
        raise ValueError(f"importance_cap = {cap:g} would shrink tokens on which both agree: set at least 1, or 0")
    return cap


class PPOAlgorithm(Section):
    """PPO's own knobs."""

    iterations: int = Field(30, ge=1)
    """Rollouts."""
    prompts: int = Field(256, ge=1)
    """Prompts in a rollout, one answer each."""
    epochs: int = Field(1, ge=1)
    """Passes over a rollout."""
    minibatches: int = Field(8, ge=1)
    """Optimizer steps in a pass."""
    clip: float = Field(0.2, gt=0)
    """How far the policy's ratio may move before its gradient stops."""
    value_clip: float = Field(0.2, gt=0)
    """How far the critic may move from its old value before its gradient stops."""
    value_coefficient: float = Field(0.1, ge=0)
    """Weight of the value loss."""
    gamma: float = Field(1.0, gt=0, le=1)
    """Discount of future rewards."""
    lam: float = Field(0.95, ge=0, le=1)
    """GAE's λ."""
    whiten: bool = True
    """Whiten advantages over the whole rollout."""
    critic: InputPath = ""
    """The reward model that the critic starts as a copy of; empty: `rewards.model`."""
    critic_warmup: int = Field(6, ge=0)
    """Iterations in which only the critic learns."""
    importance_cap: ImportanceCap = 0.0
    overlap: Overlap = False

    _cap = field_validator("importance_cap")(refuse_shrinking)

    @model_validator(mode="after")
    def _policy_learns(self) -> Self:
        if self.iterations <= self.critic_warmup:
            raise ValueError(
                f"iterations = {self.iterations} leave none for the policy, as only the critic learns in the first "
                f"{self.critic_warmup}: set more iterations, or a smaller critic_warmup"
            )
        return self


class PTX(Section):
    """Pretraining text mixed into the policy's loss against forgetting (InstructGPT, eq. 2)."""

    data: InputPath = ""
    """Documents; empty: off."""
    coefficient: float = Field(0.0, ge=0)
    """γ: weight of the mean log-likelihood of the text."""
    tokens: int = Field(1024, ge=64)
    """Tokens of text in each optimizer step."""

    @model_validator(mode="after")
    def _mixes_in_what_is_given(self) -> Self:
        if self.data and not self.coefficient:
            raise ValueError("data weighs nothing while coefficient is 0: set ptx.coefficient, or leave ptx.data out")
        if not self.data and (idle := changed(self, "coefficient", "tokens")):
            raise ValueError(f"{idle} is of text that is mixed in, and none is given: set ptx.data, or leave it out")
        return self


class PPOConfig(Section):
    """Proximal policy optimisation against a reward model under a KL leash."""

    type: Literal["ppo"] = "ppo"
    name: Name = "ppo"
    model: InputPath
    """The policy to start from."""
    reference: InputPath = ""
    """The frozen reference; empty: `model`. Another one must be meant: `kl.apart`."""
    prompts: InputPath
    """Prompts to practise on."""
    rewards: Rewards
    algorithm: PPOAlgorithm = PPOAlgorithm()
    kl: KLControl = KLControl()
    ptx: PTX = PTX()
    generation: Generation = Generation()
    sampler: SamplerConfig = SamplerConfig()
    optim: Optim = Optim(lr=3e-4, warmup=3, betas=(0.9, 0.99))
    """The policy's optimizer."""
    critic_optim: Optim = Optim(lr=1.5e-3, warmup=3)
    """The critic's optimizer."""
    lora: Lora = Lora()
    """The policy's adapters; its reference is then the policy with the adapters off, no second copy."""
    critic_lora: Lora = Lora()
    """The critic's adapters; its head always learns whole."""
    training: Training = Training(checkpoint_every=40)
    """`epochs` and `log_every` have no meaning here: see `algorithm`; a line is logged for each iteration."""

    @field_validator("training")
    @classmethod
    def _refuse_idle_settings(cls, training: Training) -> Training:
        return refuse_idle(training, "PPO", "algorithm")

    @model_validator(mode="after")
    def _critic_starts_somewhere(self) -> Self:
        if not self.algorithm.critic and not self.rewards.model:
            raise ValueError("the critic starts from a reward model: set algorithm.critic, or rewards.model")
        if any(part.within_prompt for part in self.rewards.parts.values()):
            raise ValueError("PPO samples one answer a prompt, so a reward can't be standardised within_prompt")
        check_leash(self.kl, self.lora, self.algorithm.prompts, self.reference)
        refuse_uncorrected(self.algorithm.overlap, self.algorithm.importance_cap)
        return self


def check_leash(kl: KLControl, lora: Lora, answers: int, reference: str) -> None:
    """With adapters the reference has no weights of its own that could follow; and one rollout must not steer past 0:
    β ← β (1 + e · answers/horizon), e at least −0.2."""
    if kl.type == "adaptive" and kl.horizon < answers:
        raise ValueError(
            f"kl.horizon = {kl.horizon} is shorter than a rollout of {answers} answers, after each of which adaptive "
            "would overshoot: set it to several rollouts' answers (10000 is usual)"
        )
    if kl.ema and lora.rank:
        raise ValueError(
            "kl.ema moves the reference, which with lora is the model below the adapters: drop one of them"
        )
    if kl.apart and not reference:
        raise ValueError(
            "kl.apart says that the reference is another model than where training starts: set reference, or leave "
            "kl.apart out"
        )


def refuse_idle(training: Training, who: str, section: str) -> Training:
    """Settings of `training` that a stage which samples its own data would not read."""
    default = Training()
    if training.epochs != default.epochs:
        raise ValueError(f"epochs has no meaning for {who}: set {section}.iterations or {section}.epochs instead")
    if training.log_every != default.log_every:
        raise ValueError(f"log_every has no meaning for {who}, which logs a line each iteration: leave it out")
    metric = training.early_stop.metric
    if metric.startswith("heldout/"):
        raise ValueError(
            f"early_stop.metric = {metric} is measured on held-out data, which {who} has none of: choose a logged "
            "metric, such as reward/mean"
        )
    return training
