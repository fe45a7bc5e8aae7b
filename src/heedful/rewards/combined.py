"""Several rewards as one: a weighted sum of named parts, each on its own scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from heedful.records import Messages, Prompt
from heedful.rewards.protocol import Reward, Score


@dataclass(frozen=True, slots=True)
class Part:
    """One term of the sum: weight · (value − mean)/std, or standardised over the answers to its prompt."""

    reward: Reward
    weight: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    within_prompt: bool = False


class CombinedReward:
    """Σ_k w_k r_k. The Score's parts are the r_k as they were given, before mean, deviation and weight; what each is
    made of in its turn stands there as `part/what`."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = dict(parts)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order. The answers to one prompt must come in one call."""
        given = {name: part.reward.score(prompts, completions) for name, part in self.parts.items()}
        totals = [0.0] * len(prompts)
        for name, part in self.parts.items():
            scaled = [(score.value - part.mean) / part.std for score in given[name]]
            if part.within_prompt:
                scaled = _within([prompt.messages for prompt in prompts], scaled)
            totals = [total + part.weight * value for total, value in zip(totals, scaled, strict=True)]
        return [Score(total, _named({n: scores[i] for n, scores in given.items()})) for i, total in enumerate(totals)]


def _named(scores: Mapping[str, Score]) -> dict[str, float]:
    inner = {f"{name}/{key}": value for name, score in scores.items() for key, value in score.parts.items()}
    return {name: score.value for name, score in scores.items()} | inner


def _within(asked: Sequence[Messages], values: Sequence[float]) -> list[float]:
    """(x − mean)/(std + 1e-4) over the answers to one prompt (GDPO), std with G − 1 below."""
    of: dict[Messages, list[float]] = {}
    for prompt, value in zip(asked, values, strict=True):
        of.setdefault(prompt, []).append(value)
    mean = {prompt: sum(found) / len(found) for prompt, found in of.items()}
    spread = {
        prompt: sqrt(sum((value - mean[prompt]) ** 2 for value in found) / max(len(found) - 1, 1))
        for prompt, found in of.items()
    }
    return [(value - mean[prompt]) / (spread[prompt] + 1e-4) for prompt, value in zip(asked, values, strict=True)]
