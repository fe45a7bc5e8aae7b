"""A reward model's folder as a Reward, whichever kind of reward model it holds."""

from __future__ import annotations

from pathlib import Path

import torch

from heedful.errors import InputError
from heedful.models.classifiers import kind_of
from heedful.rewards.blend import BlendReward, is_blend
from heedful.rewards.criteria import CriteriaReward
from heedful.rewards.model import ModelReward
from heedful.rewards.process import ProcessReward

LearntReward = ModelReward | CriteriaReward | ProcessReward | BlendReward


def load_reward(folder: str | Path, device: torch.device | str = "cpu", affine: bool = True) -> LearntReward:
    """One score, criteria, steps or a blend; `affine=False` leaves out the stored scale."""
    if is_blend(folder):
        return BlendReward.load(folder, device, affine)
    match kind_of(folder):
        case "process":
            return ProcessReward.load(folder, device, affine)
        case "criteria":
            return CriteriaReward.load(folder, device, affine)
        case "pairwise":
            raise InputError(
                f"{folder}: compares two answers and scores none by itself; train a reward model with "
                'loss.type = "bradley_terry" from the same comparisons'
            )
    return ModelReward.load(folder, device, affine)
