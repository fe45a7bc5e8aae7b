"""From comparisons straight to a policy: the stage, and one small section for each loss.

Page of each loss: docs/algorithms/; which to choose: docs/algorithms/README.md.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from heedful.config.sections import InputPath, Lora, Name, Optim, Section, Training

Beta = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, lt=0.5)]  # of flipped labels: at 1/2 they say nothing
KnownRate = Annotated[float, Field(ge=0, lt=0.5)]  # the same; 0: to be estimated


class DirectLoss(Section):
    """What the stage must know of a loss beside its knobs."""

    reference: ClassVar[bool] = True
    """Reads the reference's log-probabilities, which are then computed once."""
    margins: ClassVar[bool] = False
    """Reads by how much the raters said that an answer must win."""


class DPOLoss(DirectLoss):
    """−log σ(β h − m) (Rafailov 2023; the margin m as in Amini 2024)."""

    margins: ClassVar[bool] = True
    type: Literal["dpo"] = "dpo"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""


class CDPOLoss(DirectLoss):
    """DPO with smoothed labels, for labels that are flipped now and then; its optimum is bounded (Mitchell 2023)."""

    type: Literal["cdpo"] = "cdpo"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    epsilon: KnownRate = 0.1
    """Share of labels taken to be flipped; 0: estimated from how often two judgements of one pair disagree."""


class RobustLoss(DirectLoss):
    """Robust DPO: the clean loss in expectation over flipped labels, unbounded below (Chowdhury 2024)."""

    type: Literal["robust"] = "robust"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    epsilon: KnownRate = 0.1
    """Share of labels taken to be flipped; 0: estimated from how often two judgements of one pair disagree."""


class IPOLoss(DirectLoss):
    """(h − 1/(2τ))²: the margin is to reach a target and go no further (Azar 2023)."""

    type: Literal["ipo"] = "ipo"
    tau: Beta = 0.1
    """The target is 1/(2τ) nats of difference between the answers' log-ratios: a sum over tokens, or with
    `length_average` a mean over tokens, for which τ must be larger."""
    length_average: bool = False
    """Divide each answer's log-ratio by its tokens, as TRL does; the paper takes sums."""


class HingeLoss(DirectLoss):
    """max(0, 1 − β h + m): SLiC's hinge on the log-ratios (Zhao 2023; Liu 2023)."""

    margins: ClassVar[bool] = True
    type: Literal["hinge"] = "hinge"
    beta: Beta = 0.05
    """1/β is the margin in nats at which a pair stops pulling."""


class SimPOLoss(DirectLoss):
    """Mean log-probabilities with a target margin and without a reference (Meng 2024)."""

    reference: ClassVar[bool] = False
    margins: ClassVar[bool] = True
    type: Literal["simpo"] = "simpo"
    beta: Beta = 2.0
    """Scale of the mean log-probabilities."""
    gamma: float = Field(1.0, ge=0)
    """By how much the chosen answer's reward must win (the paper's code sets γ/β instead)."""


class ORPOLoss(DirectLoss):
    """SFT on the chosen answer and an odds ratio against the rejected one, without a reference (Hong 2024)."""

    reference: ClassVar[bool] = False
    type: Literal["orpo"] = "orpo"
    weight: Beta = 0.1
    """λ: weight of the odds ratio beside the likelihood."""


class DPONormLoss(DirectLoss):
    """DPO on log-ratios divided by the answers' tokens (Lambert 2024, Tülu 3)."""

    margins: ClassVar[bool] = True
    type: Literal["dpo_norm"] = "dpo_norm"
    beta: Beta = 5.0
    """Scale of the log-ratio per token, so about as many times DPO's β as answers have tokens."""


class RPOLoss(DirectLoss):
    """DPO and the chosen answer's mean negative log-likelihood (Pang 2024; Liu 2024)."""

    margins: ClassVar[bool] = True
    type: Literal["rpo"] = "rpo"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    alpha: Beta = 1.0
    """Weight of the likelihood."""


class DPOPLoss(DirectLoss):
    """DPO-positive: punishes a chosen answer that grows less likely than under the reference (Pal 2024)."""

    margins: ClassVar[bool] = True
    type: Literal["dpop"] = "dpop"
    beta: Beta = 0.3
    """How strongly the policy is held to the reference."""
    penalty: float = Field(50.0, ge=0)
    """λ: nats of margin lost for each nat that the chosen answer lost."""


class NCALoss(DirectLoss):
    """Noise-contrastive alignment: each answer's own log-ratio, so that the chosen one rises (Chen 2024)."""

    type: Literal["nca"] = "nca"
    beta: Beta = 0.1
    """Scale of the log-ratios; the chosen answer's reward settles at ln 2 where it is never rejected."""


class APOZeroLoss(DirectLoss):
    """Anchored: chosen up and rejected down; for chosen answers better than the policy's (D'Oosterlinck 2024)."""

    type: Literal["apo_zero"] = "apo_zero"
    beta: Beta = 0.1
    """Scale of the log-ratios."""


class APODownLoss(DirectLoss):
    """Anchored: both down, the rejected further; for chosen answers worse than the policy's (D'Oosterlinck 2024)."""

    type: Literal["apo_down"] = "apo_down"
    beta: Beta = 0.1
    """Scale of the log-ratios."""


class SPPOLoss(DirectLoss):
    """Self-play: each log-ratio to its own target, ±1/(2β), with hard labels (Wu 2024)."""

    type: Literal["sppo"] = "sppo"
    beta: Beta = 0.001
    """1/(2β) nats is the target, far away on purpose: few steps are taken towards it in each round."""


class EXOLoss(DirectLoss):
    """Reverse KL from the policy's preference to the smoothed label (Ji 2024)."""

    type: Literal["exo"] = "exo"
    beta: Beta = 0.1
    """Scale of the log-ratios."""
    epsilon: Rate = 0.001
    """The label is [1 − ε, ε]; above 0, since the reverse KL to a hard label is infinite."""


class WPOLoss(DirectLoss):
    """DPO in which a pair weighs by how likely the policy would be to write it (Zhou 2024)."""

    margins: ClassVar[bool] = True
    type: Literal["wpo"] = "wpo"
    beta: Beta = 0.01
    """How strongly the policy is held to the reference."""


class LDDPOLoss(DirectLoss):
    """DPO in which tokens beyond the shorter answer's length count less (Liu 2024)."""

    margins: ClassVar[bool] = True
    type: Literal["ld_dpo"] = "ld_dpo"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    alpha: float = Field(0.5, ge=0, le=1)
    """What a token beyond the shorter answer's length counts; 1 is DPO."""


class LabelLoss(DirectLoss):
    """A loss that reads answers labelled one by one; pairs are split."""

    baseline: ClassVar[Literal["none", "drift", "halfway"]] = "none"
    """What rewards are measured against, anew before each step. `drift`: the mean log-ratio of answers to other
    prompts, in nats; `halfway`: the middle between wanted and unwanted answers, in units of the reward β d."""


class KTOLoss(LabelLoss):
    """Answers labelled one by one, each against the policy's mean drift (Ethayarajh 2024)."""

    baseline: ClassVar[Literal["none", "drift", "halfway"]] = "drift"
    type: Literal["kto"] = "kto"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    desirable: Beta = 1.0
    """λ_D: weight of wanted answers. λ_D n_D / (λ_U n_U) should lie between 1 and 3/2."""
    undesirable: Beta = 1.0
    """λ_U: weight of unwanted answers."""


class BCOLoss(LabelLoss):
    """A binary classifier of wanted and unwanted answers, its threshold a running mean (Jung 2024)."""

    baseline: ClassVar[Literal["none", "drift", "halfway"]] = "halfway"
    type: Literal["bco"] = "bco"
    beta: Beta = 0.1
    """How strongly the policy is held to the reference."""
    decay: float = Field(0.9, ge=0, lt=1)
    """How much of the threshold each step keeps; 0: the step's own."""


PairedLoss = (
    DPOLoss
    | CDPOLoss
    | RobustLoss
    | IPOLoss
    | HingeLoss
    | SimPOLoss
    | ORPOLoss
    | DPONormLoss
    | RPOLoss
    | DPOPLoss
    | NCALoss
    | APOZeroLoss
    | APODownLoss
    | SPPOLoss
    | EXOLoss
    | WPOLoss
    | LDDPOLoss
)
UnpairedLoss = KTOLoss | BCOLoss


class DPOConfig(Section):
    """Direct preference optimisation: one loop, one of many losses."""

    type: Literal["dpo"] = "dpo"
    name: Name = "dpo"
    model: InputPath
    """The SFT model: where the policy starts, and the frozen reference."""
    data: list[InputPath] = Field(min_length=1)
    """Rankings or comparisons to train on; for `kto` and `bco` also answers with a `label`."""
    heldout: list[InputPath] = []
    """The same to report accuracy on."""
    limit: int = Field(0, ge=0)
    """Most sets of answers to train on, drawn at random; 0: all. Less work than a part of an epoch, as the reference
    then reads no others."""
    loss: Annotated[PairedLoss | UnpairedLoss, Field(discriminator="type")] = DPOLoss()
    """Which loss, and its knobs: `loss = { type = "ipo", tau = 0.2 }`."""
    prompts_per_step: int = Field(8, ge=1)
    """Rankings in one optimizer step; of labelled answers, prompts."""
    optim: Optim = Optim(lr=2e-4)
    lora: Lora = Lora()
    training: Training = Training()
