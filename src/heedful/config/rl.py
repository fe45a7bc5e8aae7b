"""The policy practises without a critic: several answers to each prompt, each judged beside its siblings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from heedful.config.on_policy import (
    PTX,
    ImportanceCap,
    Overlap,
    check_leash,
    refuse_idle,
    refuse_shrinking,
    refuse_uncorrected,
)
from heedful.config.rewards import Rewards
from heedful.config.sampler import SamplerConfig
from heedful.config.sections import Generation, InputPath, KLControl, Lora, Name, Optim, Section, Training

Penalty = Annotated[
    Literal["reward", "k2", "k3", "k3_weighted", "exact"],
    Field(
        description="Where the KL to the reference stands, times β. `reward`: k1, taken from what is paid. Else in the "
        "loss: estimated at every sampled token (`k3_weighted`: times the importance ratio), or `exact` over the "
        "whole vocabulary."
    ),
]
Labels = Annotated[
    Literal["soft", "hard"],
    Field(
        description="`soft`: a pair counts in both orders, by σ(difference of what was paid); `hard`: the better one "
        "wins, as in the paper."
    ),
]


class Practice(Section):
    """How much is sampled, and how often it is learned from."""

    iterations: int = Field(30, ge=1)
    """Rollouts."""
    prompts: int = Field(64, ge=1)
    """Prompts in a rollout."""
    completions: int = Field(4, ge=1)
    """Answers to each prompt (G)."""
    epochs: int = Field(1, ge=1)
    """Passes over a rollout."""
    minibatches: int = Field(8, ge=1)
    """Optimizer steps in a pass."""
    overlap: Overlap = False


class RLOO(Section):
    """REINFORCE leave-one-out (Ahmadian 2024): an answer against the mean of its siblings, as one action."""

    type: Literal["rloo"] = "rloo"
    clip: float = Field(0.2, gt=0)
    """How far the ratio of a whole answer may move before its gradient stops."""


class GRPO(Section):
    """Group relative policy optimisation (Shao 2024): answers standardised within their group."""

    type: Literal["grpo"] = "grpo"
    clip: float = Field(0.2, gt=0)
    """How far a token's ratio may move before its gradient stops."""
    scale: Literal["std", "none"] = "std"
    """`std` divides by the group's standard deviation, as in the paper; `none` only takes its mean away."""
    penalty: Penalty = "k3"


class DrGRPO(Section):
    """GRPO done right (Liu 2025): no division by the group's deviation, nor by the answer's own length."""

    type: Literal["dr_grpo"] = "dr_grpo"
    clip: float = Field(0.2, gt=0)
    """How far a token's ratio may move before its gradient stops."""
    penalty: Penalty = "k3"


class ReinforcePP(Section):
    """REINFORCE++ (Hu 2025): token-level KL in the reward, advantages whitened over the whole rollout."""

    type: Literal["reinforce_pp"] = "reinforce_pp"
    clip: float = Field(0.2, gt=0)
    """How far a token's ratio may move before its gradient stops."""
    whiten: bool = True
    """Whiten advantages over the whole rollout; off, only their mean is taken away."""


class DAPO(Section):
    """Decoupled clip and dynamic sampling (Yu 2025): room upwards, every token alike, no group without a difference."""

    type: Literal["dapo"] = "dapo"
    clip_low: float = Field(0.2, gt=0)
    """How far a token's ratio may fall before its gradient stops."""
    clip_high: float = Field(0.28, gt=0)
    """How far it may rise (clip-higher)."""
    rounds: int = Field(3, ge=1, le=100)
    """Most times that prompts are sampled for one rollout, to replace those whose answers were all paid alike; 1: none
    is replaced. What is still missing after that is filled up with such prompts, from which nothing is learned."""
    penalty: Penalty = "k3"


class GSPO(Section):
    """Group sequence policy optimisation (Zheng 2025): one length-normalised ratio for a whole answer."""

    type: Literal["gspo"] = "gspo"
    clip_low: float = Field(3e-4, gt=0)
    """How far an answer's ratio may fall before its gradient stops."""
    clip_high: float = Field(4e-4, gt=0)
    """How far it may rise."""
    penalty: Penalty = "k3"


class CISPO(Section):
    """Clipped importance sampling (MiniMax 2025): the weight is clipped, and every token keeps its gradient."""

    type: Literal["cispo"] = "cispo"
    clip_high: float = Field(5.0, gt=0)
    """The largest importance weight."""
    penalty: Penalty = "k3"


class SAPO(Section):
    """Soft adaptive policy optimisation (Gao 2025): a smooth gate in place of the clip."""

    type: Literal["sapo"] = "sapo"
    temperature_positive: float = Field(1.0, gt=0)
    """How fast the gate closes for tokens of good answers."""
    temperature_negative: float = Field(1.05, gt=0)
    """How fast it closes for tokens of bad answers."""
    penalty: Penalty = "k3"


class OnlineDPO(Section):
    """DPO on pairs that the policy wrote just now (Guo 2024); β is `kl.coefficient`."""

    type: Literal["online_dpo"] = "online_dpo"
    labels: Labels = "soft"


class XPO(Section):
    """Exploratory preference optimisation (Xie 2024): online DPO against the reference's answers, with a bonus that
    makes those less likely; β is `kl.coefficient`."""

    type: Literal["xpo"] = "xpo"
    labels: Labels = "soft"
    alpha: float = Field(1e-5, ge=0)
    """Weight of the bonus."""


class NashMD(Section):
    """Nash learning from preferences (Munos 2023): what is paid is the chance to beat a mixture of policy and
    reference."""

    type: Literal["nash_md"] = "nash_md"
    mixture: float = Field(0.125, ge=0, le=1)
    """How much of the opponent is the reference: 0 is self-play, 1 plays against the reference alone."""
    clip: float = Field(0.2, gt=0)
    """How far the ratio of a whole answer may move before its gradient stops."""


PolicyGradient = RLOO | GRPO | DrGRPO | ReinforcePP | DAPO | GSPO | CISPO | SAPO | NashMD
Contrastive = OnlineDPO | XPO
RLAlgorithm = PolicyGradient | Contrastive

# What each paper sets outside the algorithm's own knobs. G is smaller than theirs, which are for large machines.
PAPER: dict[str, dict[str, dict[str, Any]]] = {
    "rloo": {"kl": {"coefficient": 0.1}, "practice": {"completions": 4}},
    "grpo": {"kl": {"coefficient": 0.04}, "practice": {"completions": 8}},
    "dr_grpo": {"kl": {"coefficient": 0.0}, "practice": {"completions": 8}},
    "reinforce_pp": {"kl": {"coefficient": 0.1}, "practice": {"completions": 1, "prompts": 256}},
    "dapo": {"kl": {"coefficient": 0.0}, "practice": {"completions": 8}, "rewards": {"overlong": 0.2}},
    "gspo": {"kl": {"coefficient": 0.0}, "practice": {"completions": 8}},
    "cispo": {"kl": {"coefficient": 0.0}, "practice": {"completions": 8}},
    "sapo": {"kl": {"coefficient": 0.0}, "practice": {"completions": 8}},
    "online_dpo": {"kl": {"coefficient": 0.1}, "practice": {"completions": 2, "prompts": 128}},
    "xpo": {"kl": {"coefficient": 0.1}, "practice": {"completions": 1, "prompts": 128}},
    "nash_md": {"kl": {"coefficient": 0.1}, "practice": {"completions": 4}},
}
LEAST = {"xpo": 1, "reinforce_pp": 1}  # answers to a prompt; all others need two


class RLConfig(Section):
    """Practise without a critic: RLOO, GRPO and their family, online DPO, Nash-MD."""

    type: Literal["rl"] = "rl"
    name: Name = "rl"
    model: InputPath
    """The policy to start from."""
    reference: InputPath = ""
    """The frozen reference; empty: `model`. Another one must be meant: `kl.apart`."""
    prompts: InputPath
    """Prompts to practise on."""
    rewards: Rewards
    """DAPO sets `overlong` to 0.2, unless `missing_eos_penalty` is 0."""
    algorithm: RLAlgorithm = Field(RLOO(), discriminator="type")
    """Which, by its `type`: rloo, grpo, dr_grpo, reinforce_pp, dapo, gspo, cispo, sapo, online_dpo, xpo or nash_md;
    each has its own knobs, and its paper's `kl.coefficient` and number of answers where you set none."""
    practice: Practice = Practice()
    """G is 4 for rloo and nash_md, 2 for online_dpo, 1 for reinforce_pp and xpo, else 8, where you set none."""
    kl: KLControl = KLControl()
    """β is 0.1, for grpo 0.04, and 0 for dr_grpo, dapo, gspo, cispo and sapo, where you set none."""
    ptx: PTX = PTX()
    generation: Generation = Generation()
    sampler: SamplerConfig = SamplerConfig()
    importance_cap: ImportanceCap = 0.0
    optim: Optim = Optim(lr=3e-4, warmup=3, betas=(0.9, 0.99))
    lora: Lora = Lora()
    """The policy's adapters; its reference is then the policy with the adapters off, no second copy."""
    training: Training = Training(checkpoint_every=40)
    """`epochs` and `log_every` have no meaning here: see `practice`; a line is logged for each iteration."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_papers_settings(cls, given: Any) -> Any:
        """What is not given follows the algorithm; a section given as an object is whole."""
        if not isinstance(given, dict):
            return given
        algorithm = given.get("algorithm", {})
        kind = algorithm.get("type", "rloo") if isinstance(algorithm, dict) else getattr(algorithm, "type", "")
        filled = dict(given)
        for section, settings in PAPER.get(str(kind), {}).items():
            if isinstance(part := given.get(section, {}), dict):
                filled[section] = settings | part
        if isinstance(rewards := filled.get("rewards"), dict) and rewards.get("missing_eos_penalty") == 0:
            filled["rewards"] = {"overlong": 0.0} | given["rewards"]  # without a price there is nothing to set in
        return filled

    _cap = field_validator("importance_cap")(refuse_shrinking)

    @field_validator("training")
    @classmethod
    def _refuse_idle_settings(cls, training: Training) -> Training:
        return refuse_idle(training, "rl", "practice")

    @model_validator(mode="after")
    def _fits_the_algorithm(self) -> Self:
        kind, completions = self.algorithm.type, self.practice.completions
        if completions < (least := LEAST.get(kind, 2)):
            raise ValueError(
                f"{kind} judges an answer beside its siblings: practice.completions = {completions} must be at least "
                f"{least}"
            )
        if completions < 2 and any(part.within_prompt for part in self.rewards.parts.values()):
            raise ValueError("a reward can't be standardised within_prompt where practice.completions is 1")
        if kind in ("nash_md", "xpo") and any(part.within_prompt for part in self.rewards.parts.values()):
            raise ValueError(
                f"{kind} compares the policy's answers with another's, and within_prompt would set each side to a "
                "mean of 0: set within_prompt = false"
            )
        check_leash(self.kl, self.lora, self.practice.prompts * completions, self.reference)
        if isinstance(self.algorithm, NashMD) and self.lora.rank:
            raise ValueError("nash_md mixes the weights of policy and reference, so it trains all of them: drop lora")
        if isinstance(self.algorithm, OnlineDPO | XPO) and self.importance_cap:
            raise ValueError(
                f"{kind} learns from pairs, whoever wrote them: importance_cap has no meaning, leave it out"
            )
        if isinstance(self.algorithm, OnlineDPO | XPO) and self.practice.overlap:
            raise ValueError(f"{kind} has no weight that could correct for older answers: leave overlap out")
        refuse_uncorrected(self.practice.overlap, self.importance_cap)
        if isinstance(self.algorithm, OnlineDPO | XPO) and not self.kl.coefficient:
            raise ValueError(f"{kind}: β is kl.coefficient, and must be above 0")
        return self
