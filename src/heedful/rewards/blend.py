"""A blend: reward models and likelihoods with fitted weights, saved as a folder that is used like a reward model's.

Stacking (Wolpert 1992) with Bradley-Terry's likelihood: σ(Σ_k w_k (r_k(y) − r_k(y′))) is the chance that y wins over
y′, so the blend's score is in log-odds whatever the parts are measured in. Likelihoods have long tails, so their lower
half is bounded by tanh; a log-ratio's upper half too, which has no limit: a policy that is paid for it lives there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.config import BlendPart
from heedful.errors import InputError
from heedful.models.classifiers import refuse_other_kinds
from heedful.models.files import read_json
from heedful.models.folders import is_reward_model
from heedful.models.loading import Affine
from heedful.records import Prompt
from heedful.rewards.combined import CombinedReward, Part
from heedful.rewards.likelihood import Likelihood, LikelihoodReward
from heedful.rewards.model import RAW, ModelReward
from heedful.rewards.protocol import Reward, Score
from heedful.run import atomic_text

FILE = "blend.json"
STEPS = 50
CLOSE = 1e-9  # a step that short is the last one
RIDGE = 1e-6  # in units of the parts' own spread: only parts that say the same need it
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A part with what was found for it: its weight, and the middle and spread of a likelihood's values."""

    part: BlendPart
    weight: float
    middle: float
    spread: float


def bounds(part: BlendPart) -> Callable[[Floats], Floats]:
    """What counts of scaled values: log-odds as they are, tanh of log-ratios, and of log-probabilities below 0."""
    if is_reward_model(Path(part.model)):
        return lambda z: z
    if part.reference:
        return np.tanh
    return lambda z: np.where(z < 0, np.tanh(z), z)


class Shaped:
    """Another reward's values v as they count in a blend."""

    def __init__(self, reward: Reward, fitted: Fitted) -> None:
        self.reward, self.fitted, self.bounded = reward, fitted, bounds(fitted.part)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        scores = self.reward.score(prompts, completions)
        values = np.array([one.value for one in scores])
        found = self.bounded((values - self.fitted.middle) / self.fitted.spread)
        return [Score(float(value), {"raw": one.value}) for value, one in zip(found, scores, strict=True)]


def open_part(part: BlendPart, device: torch.device | str) -> Reward:
    """What a part says, as it is. InputError: no reward model of one score, or one with a likelihood's settings."""
    if is_blend(part.model):
        raise InputError(f"{part.model}: is a blend itself: name its parts")
    if is_reward_model(Path(part.model)):
        if part.reference or part.per_token:
            raise InputError(f"{part.model}: is a reward model, which reads neither reference nor per_token: drop them")
        refuse_other_kinds(part.model, "so a blend can't weigh it: name reward models that give an answer one score")
        return ModelReward.load(part.model, device, affine=False)
    against = [Likelihood.load(part.reference, device)] if part.reference else []
    return LikelihoodReward(Likelihood.load(part.model, device), against, per_token=part.per_token)


def fit_weights(differences: Floats, targets: Floats) -> Floats:
    """The weights w that make the judgements likeliest: Newton's method on Σ_p CE(t_p, σ(x_p·w)), no step uphill.

    differences: what each part says of the first answer less the second, (P, K). targets: 1 where the first won, 0.5
    for a tie, (P,). -> (K,)
    """
    spread = np.sqrt((differences**2).mean(0)) + 1e-12
    x = differences / spread
    w = np.zeros(x.shape[1])

    def cost(w: Floats) -> float:
        z = x @ w
        return float(targets @ np.logaddexp(0, -z) + (1 - targets) @ np.logaddexp(0, z) + RIDGE * (w @ w) / 2)

    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -60, 60)))
        slope = x.T @ (p - targets) + RIDGE * w
        curve = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(len(w))
        step = np.linalg.solve(curve, slope)
        while cost(w - step) > cost(w) and np.abs(step).max() >= CLOSE:  # few judgements, long tails: a whole one flies
            step = step / 2
        w = w - step
        if np.abs(step).max() < CLOSE:
            break
    return np.asarray(w / spread)


def save_blend(folder: Path, parts: Mapping[str, Fitted], affine: Affine) -> None:
    """Writes blend.json into a folder; the parts stay where they are, named from there."""

    def there(path: str) -> str:
        return os.path.relpath(Path(path).resolve(), folder.resolve()) if path else ""

    rows = {
        name: {
            "model": there(one.part.model),
            "reference": there(one.part.reference),
            "per_token": one.part.per_token,
            "weight": one.weight,
            "middle": one.middle,
            "spread": one.spread,
        }
        for name, one in parts.items()
    }
    row = {"parts": rows, "mean": affine.mean, "std": affine.std}
    atomic_text(folder / FILE, json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def is_blend(folder: str | Path) -> bool:
    return (Path(folder) / FILE).is_file()


def read_blend(folder: str | Path) -> tuple[dict[str, Fitted], Affine]:
    """The parts, with paths that lead there from here, and the scale. InputError: a part is gone."""
    home = Path(folder)
    row = read_json(home / FILE)
    parts: dict[str, Fitted] = {}
    for name, said in row["parts"].items():
        for key in ("model", "reference"):
            if said[key] and not (home / said[key]).exists():
                raise InputError(f"{home / FILE}: part '{name}' names {said[key]}, which is gone; run the blend again")
            said[key] = said[key] and str((home / said[key]).resolve())
        part = BlendPart(model=said["model"], reference=said["reference"], per_token=said["per_token"])
        parts[name] = Fitted(part, said["weight"], said["middle"], said["spread"])
    return parts, Affine(row["mean"], row["std"])


def scored_by(folder: str | Path) -> str:
    """The first reward model in a blend, which a critic can begin from. InputError: there is none."""
    parts, _ = read_blend(folder)
    for one in parts.values():
        if is_reward_model(Path(one.part.model)):
            return one.part.model
    raise InputError(f"{folder}: no part of this blend is a reward model: say with algorithm.critic what to begin from")


class BlendReward:
    """Log-odds of a blend, normalised as (score − mean)/std by the affine it is given."""

    def __init__(self, opened: Mapping[str, Reward], fitted: Mapping[str, Fitted], affine: Affine = RAW) -> None:
        self.affine = affine
        self.combined = CombinedReward(
            {name: Part(Shaped(opened[name], one), one.weight) for name, one in fitted.items()}
        )

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu", affine: bool = True) -> Self:
        fitted, stored = read_blend(folder)
        opened = {name: open_part(one.part, device) for name, one in fitted.items()}
        return cls(opened, fitted, stored if affine else RAW)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order; `parts` holds its log-odds as `raw`, and what each part says."""
        return [
            Score((one.value - self.affine.mean) / self.affine.std, {"raw": one.value, **one.parts})
            for one in self.combined.score(prompts, completions)
        ]
