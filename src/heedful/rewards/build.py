"""From the config's rewards to a Reward, and what an answer is paid in the end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heedful.config import EnsemblePart, FunctionPart, LikelihoodPart, ModelPart, RewardPart, Rewards
from heedful.rewards.combined import CombinedReward, Part
from heedful.rewards.ensemble import EnsembleReward
from heedful.rewards.function import FunctionReward
from heedful.rewards.likelihood import Likelihood, LikelihoodReward
from heedful.rewards.loading import load_reward
from heedful.rewards.protocol import Reward, Score


def build_reward(rewards: Rewards, device: torch.device | str) -> Reward:
    """A single reward model as it is, so that its log-odds are logged; else the weighted sum of all parts.

    InputError where a model folder, module or function is missing or of the wrong kind.
    """
    if not rewards.parts:
        return load_reward(rewards.model, device, affine=rewards.affine)
    parts = {name: _part(part, device) for name, part in rewards.parts.items()}
    if rewards.model:
        parts["model"] = Part(load_reward(rewards.model, device, affine=rewards.affine))
    return CombinedReward(parts)


def _part(part: RewardPart, device: torch.device | str) -> Part:
    match part:
        case ModelPart():
            reward: Reward = load_reward(part.model, device, affine=part.affine)
            return Part(reward, part.weight, within_prompt=part.within_prompt)
        case EnsemblePart():
            reward = EnsembleReward.load(part.members, device, combine=part.combine, penalty=part.penalty)
            return Part(reward, part.weight, within_prompt=part.within_prompt)
        case FunctionPart():
            reward = FunctionReward.load(part.function)
            return Part(reward, part.weight, part.mean, part.std, part.within_prompt)
        case LikelihoodPart():
            against = [Likelihood.load(part.reference, device)] if part.reference else []
            reward = LikelihoodReward(Likelihood.load(part.model, device), against, per_token=part.per_token)
            return Part(reward, part.weight, part.mean, part.std, part.within_prompt)


def paid(
    scores: Sequence[Score], lengths: Sequence[int], cut: Sequence[bool], rewards: Rewards, *, limit: int
) -> Tensor:
    """What each answer is paid: its score, clipped where asked, less the penalty where it was cut or came near. (B,)

    `lengths` in tokens, `limit` the most of them. With a soft zone of c = overlong · limit tokens the share of the
    penalty is clip((length − (limit − c))/c, 0, 1) (Yu 2025, eq. 13), and all of it where the answer was cut.
    """
    values = torch.tensor([score.value for score in scores], dtype=torch.float32)
    if rewards.clip:
        values = values.clamp(-rewards.clip, rewards.clip)
    share = torch.tensor([float(was) for was in cut])
    if rewards.overlong:
        zone = rewards.overlong * limit
        soft = (torch.tensor(lengths, dtype=torch.float32) - (limit - zone)) / zone
        share = torch.maximum(share, soft.clamp(0.0, 1.0))
    return values - rewards.missing_eos_penalty * share
