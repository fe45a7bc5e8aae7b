"""Several reward models as one that is harder to fool: each errs in its own way, and where they differ, beware.

Mean, worst case and variance penalty (Coste 2023). They cure errors that members don't share; an error that all share,
from the labels or the backbone, stays whole (Eisenstein 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.errors import InputError
from heedful.records import Prompt
from heedful.rewards.loading import load_reward
from heedful.rewards.protocol import Reward, Score

Combine = Literal["mean", "worst", "penalised"]
COMBINATIONS: tuple[Combine, ...] = get_args(Combine)
Floats = NDArray[np.float64]


def combined(scores: Floats, combine: Combine, penalty: float = 0.0) -> Floats:
    """The members' scores as one, (M, B) -> (B,). `penalty` is λ of mean − λ · variance, for `penalised`."""
    match combine:
        case "mean":
            return np.asarray(scores.mean(0))
        case "worst":
            return np.asarray(scores.min(0))  # WCO
        case "penalised":
            return np.asarray(scores.mean(0) - penalty * scores.var(0))  # UWO: μ − λ σ²


class EnsembleReward:
    """Each member scores on its own scale, that of its affine; `parts` tells how far they are apart."""

    def __init__(self, members: Sequence[Reward], combine: Combine, penalty: float = 0.0) -> None:
        self.members, self.combine, self.penalty = tuple(members), combine, penalty

    @classmethod
    def load(
        cls, folder: str | Path, device: torch.device | str = "cpu", *, combine: Combine, penalty: float = 0.0
    ) -> Self:
        """The `members` folder of a reward stage."""
        return cls([load_reward(place, device) for place in member_folders(folder)], combine, penalty)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order."""
        scores = np.array([[s.value for s in member.score(prompts, completions)] for member in self.members])
        values = combined(scores, self.combine, self.penalty)
        mean, spread = scores.mean(0), scores.std(0)
        return [
            Score(float(values[i]), {"mean": float(mean[i]), "spread": float(spread[i])}) for i in range(len(values))
        ]


def member_folders(folder: str | Path) -> list[Path]:
    """`members/0/model`, `members/1/model`, … InputError: there are fewer than two."""
    home = Path(folder)
    numbered = sorted((p for p in home.glob("*/model") if p.parent.name.isdigit()), key=lambda p: int(p.parent.name))
    if len(numbered) < 2:
        raise InputError(f"{home}: holds no ensemble: name the `members` folder of a reward stage with members above 1")
    return numbered
