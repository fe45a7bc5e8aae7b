"""The average of several models' weights: a soup of policies (Wortsman 2022), or of reward models (WARM, Ramé 2024).

    θ = Σ w_i θ_i,   Σ w_i = 1

Two weights (1 − a, a) walk the line from one model to another, and beyond it where a is above 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heedful.config import AverageConfig
from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.models.classifiers import refuse_other_kinds
from heedful.models.folders import is_reward_model
from heedful.models.heads import Policy, RewardModel
from heedful.models.loading import Affine, load_policy, load_reward_model, save_policy, save_reward_model
from heedful.rewards.model import ModelReward
from heedful.run import Run
from heedful.stages.reward import read_samples, scale_of

PROBE = 48  # tokens on which the average is compared with its members


@dataclass(frozen=True, slots=True)
class Member:
    """One model that goes into the average."""

    folder: str
    model: Policy | RewardModel
    chat: Chat

    @property
    def network(self) -> PreTrainedModel:
        return self.model.lm if isinstance(self.model, Policy) else self.model.classifier

    @torch.no_grad()
    def says(self) -> Tensor:
        """Log-probabilities, or scores, on tokens from all over the vocabulary."""
        ids = [(i * 7919 + 1) % self.network.config.vocab_size for i in range(PROBE)]
        said: Tensor = self.model(pack([Example(tuple(ids[i : i + 12])) for i in range(0, PROBE, 12)]))
        return said


def average(config: AverageConfig, run: Run) -> None:
    """Leaves model/: of the kind that its members are, with the first one's tokenizer."""
    weights = _weights(config)
    first = _load(config.models[0])
    own = first.network.state_dict()
    total = {name: tensor.double() * weights[0] for name, tensor in own.items() if tensor.is_floating_point()}
    said = [first.says()]
    for folder, weight in zip(config.models[1:], weights[1:], strict=True):
        member = _load(folder)
        _refuse_strangers(first, member)
        tensors = member.network.state_dict()
        for name, tensor in total.items():
            tensor.add_(tensors[name].double(), alpha=weight)
        said.append(member.says())
    first.network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in total.items()}, strict=False)
    _tell(first, said, weights, run)
    match first.model:
        case Policy() as policy:
            save_policy(policy, first.chat, run.model)
        case RewardModel() as reward:
            save_reward_model(reward, first.chat, _affine(reward, first.chat, config, run), run.model)


def _weights(config: AverageConfig) -> Sequence[float]:
    weights = config.weights or [1 / len(config.models)] * len(config.models)
    if len(weights) != len(config.models):
        raise InputError(f"weights has {len(weights)} numbers for {len(config.models)} models: give one for each")
    if not isclose(sum(weights), 1.0, abs_tol=1e-6):
        raise InputError(f"weights sum to {sum(weights):g}: an average needs weights that sum to 1")
    return weights


def _load(folder: str) -> Member:
    if is_reward_model(Path(folder)):
        # several heads, steps and pairs have scales and settings of their own, which a mean of weights does not keep
        refuse_other_kinds(
            folder,
            "so it can't be averaged: average policies, or reward models that give an answer one score",
        )
        model, chat, _ = load_reward_model(folder, device="cpu")
        return Member(folder, model, chat)
    policy, chat = load_policy(folder, device="cpu")
    return Member(folder, policy, chat)


def _refuse_strangers(first: Member, other: Member) -> None:
    """Weights mean the same only in models of one shape that read the same tokens."""
    what = ""
    if type(first.network) is not type(other.network):
        what = f"a {type(other.network).__name__} and no {type(first.network).__name__}"
    elif {n: t.shape for n, t in first.network.state_dict().items()} != {
        n: t.shape for n, t in other.network.state_dict().items()
    }:
        what = "of another shape"
    elif first.chat.tokenizer.get_vocab() != other.chat.tokenizer.get_vocab():
        what = "a model with another vocabulary"
    if what:
        raise InputError(
            f"{other.folder}: is {what}, so its weights can't be averaged with those of {first.folder}: "
            "average models that were trained from the same one"
        )


def _tell(result: Member, said: Sequence[Tensor], weights: Sequence[float], run: Run) -> None:
    """Whether the average of weights says about what the average of its members says."""
    mean = sum((weight * one for weight, one in zip(weights, said, strict=True)), torch.zeros_like(said[0]))
    spread = max(float((one - mean).abs().mean()) for one in said)
    gap = float((result.says() - mean).abs().mean())
    run.summary |= {"members": len(said), "gap": gap, "spread": spread}
    run.say(
        f"{len(said)} models averaged: on probe tokens the average is {gap:.2g} from the mean of its members' outputs, "
        f"they are up to {spread:.2g} from it"
        + ("; members this far apart may not share a basin: evaluate before use" if gap > max(spread, 1e-6) else "")
    )


def _affine(model: RewardModel, chat: Chat, config: AverageConfig, run: Run) -> Affine:
    """The average's own scale: its members' are of no use to it."""
    samples = read_samples(config.calibration, chat, model.context, run)
    return scale_of(samples.completions, ModelReward(model, chat).score_examples(samples.examples), run)
