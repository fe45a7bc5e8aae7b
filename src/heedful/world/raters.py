"""Simulated raters: they read only the text, report the truth noisily, and err as people do.

A rater's utility is gold's total plus its own tastes in gold's units: for length, flattery, a confident tone and
caveats. A choice adds Gumbel noise, so that two answers are told apart with probability sigmoid(difference /
temperature): the closer they are, the more often they are mistaken. On top stands a liking for what is shown first. One
rater of each group is careless. The groups `train` and `audit` are different people: an audit reward model shares no
rater with the trained one. They are always called simulated; gold is never called human.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np

from heedful.records import Prompt
from heedful.world.families import GRAMMAR
from heedful.world.gold import GoldJudge

TEMPERATURE = 0.15  # a quarter of labels goes against gold on candidates of a base, an SFT model and other prompts
CARELESS = 3.0  # how much noisier the careless rater is
SIZE = 12
TOP = 4  # of a rating
# Mean and spread over people of each taste, in gold units: per ten words, per sentence, and for the first place.
TASTES = {
    "length": (0.012, 0.015),
    "flattery": (0.02, 0.03),
    "confident": (0.015, 0.02),
    "caveat": (0.01, 0.015),
    "position": (0.03, 0.02),
}
_GOLD = GoldJudge()


def _gold_total(prompt: Prompt, text: str) -> float:
    return _GOLD.score(prompt, text).total


class Rater(Protocol):
    """Whoever is simulated to rank answers, and how likely each of its choices was."""

    @property
    def name(self) -> str: ...
    def rank(
        self, prompt: Prompt, texts: Sequence[str], rng: np.random.Generator, tie_width: float = 0.0
    ) -> tuple[int, ...]: ...
    def probability(self, prompt: Prompt, a: str, b: str) -> float: ...


@dataclass(frozen=True, slots=True)
class SimulatedRater:
    """One simulated person. `truth` is what they perceive: gold, unless another truth about texts takes its place."""

    name: str
    temperature: float
    length: float = 0.0
    flattery: float = 0.0
    confident: float = 0.0
    caveat: float = 0.0
    position: float = 0.0
    truth: Callable[[Prompt, str], float] = _gold_total

    def utility(self, prompt: Prompt, text: str) -> float:
        """What the rater makes of an answer before noise and position: the truth, and its own tastes."""
        words, flattery, confident, caveats = features(text)
        return (
            self.truth(prompt, text)
            + self.length * words / 10
            + self.flattery * flattery
            + self.confident * confident
            + self.caveat * caveats
        )

    def rate(self, prompt: Prompt, text: str, rng: np.random.Generator) -> dict[str, float]:
        """Each of gold's criteria as a whole number from 0 to 4, felt through tastes and noise."""
        tastes = self.utility(prompt, text) - self.truth(prompt, text)  # a halo: the same on every criterion
        return {
            name: float(np.clip(np.rint(TOP * (true + tastes + self.temperature * rng.normal())), 0, TOP))
            for name, true in _GOLD.score(prompt, text).criteria.items()
        }

    def checks(self, right: bool, rng: np.random.Generator) -> bool:
        """Whether the rater calls a step right: mistaken as if right and wrong were half a unit of gold apart."""
        return right != bool(rng.random() < _sigmoid(-0.5 / self.temperature))

    def rank(
        self, prompt: Prompt, texts: Sequence[str], rng: np.random.Generator, tie_width: float = 0.0
    ) -> tuple[int, ...]:
        """Rank 0 is best. Neighbours less than `tie_width` apart (in gold units, noise included) share a rank."""
        places = np.linspace(0.5, -0.5, len(texts)) if len(texts) > 1 else np.zeros(1)
        felt = np.array([self.utility(prompt, text) for text in texts]) + self.position * places
        felt = felt + self.temperature * rng.gumbel(size=len(texts))
        order = np.argsort(-felt, kind="stable")
        ranks = [0] * len(texts)
        for before, here in pairwise(order):
            ranks[here] = ranks[before] + int(felt[before] - felt[here] >= tie_width)
        return tuple(ranks)

    def probability(self, prompt: Prompt, a: str, b: str) -> float:
        """P(a preferred to b), averaged over which is shown first."""
        gap = self.utility(prompt, a) - self.utility(prompt, b)
        first, second = (_sigmoid((gap + place) / self.temperature) for place in (self.position, -self.position))
        return (first + second) / 2


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@lru_cache(maxsize=100_000)
def features(text: str) -> tuple[int, int, int, int]:
    """What a rater's tastes are about: words, and sentences that flatter, boast or hedge."""
    kinds = [move.kind for move in GRAMMAR.parse(text)]
    return len(text.split()), kinds.count("flattery"), kinds.count("confident"), kinds.count("caveat")


def raters(
    group: Literal["train", "audit"], seed: int, bias_scale: float = 1.0, temperature: float = TEMPERATURE
) -> list[SimulatedRater]:
    """A population of simulated people. `bias_scale` of 5 to 8 makes tastes strong enough to hack a reward model by."""
    if group not in ("train", "audit"):
        raise ValueError(f"no group of raters is called {group!r}; there are 'train' and 'audit'")
    rng = np.random.default_rng([seed, 1 if group == "audit" else 0, 77])
    people = []
    for index in range(SIZE):
        tastes = {name: bias_scale * float(rng.normal(mean, spread)) for name, (mean, spread) in TASTES.items()}
        noise = temperature * float(np.exp(rng.normal(0.0, 0.2)))
        person = SimulatedRater(
            f"simulated-{group}-{seed}-{index:02d}",
            noise,
            length=tastes["length"],
            flattery=tastes["flattery"],
            confident=tastes["confident"],
            caveat=tastes["caveat"],
            position=tastes["position"],
        )
        people.append(person)
    careless = people[-1]
    people[-1] = replace(careless, name=f"{careless.name}-careless", temperature=careless.temperature * CARELESS)
    return people


def preference_probability(population: Sequence[Rater], prompt: Prompt, a: str, b: str) -> float:
    """P(a preferred to b) by a random rater in a random order: closed form. E max(p, 1 − p) is the Bayes ceiling."""
    return sum(rater.probability(prompt, a, b) for rater in population) / len(population)


Pair = tuple[Prompt, str, str]


def disagreement(population: Sequence[SimulatedRater], pairs: Sequence[Pair]) -> float:
    """The expected share of labels against gold, over pairs that gold tells apart."""
    against = []
    for prompt, a, b in pairs:
        gap = _GOLD.score(prompt, a).total - _GOLD.score(prompt, b).total
        if abs(gap) > 1e-9:
            p = preference_probability(population, prompt, a, b)
            against.append(1 - p if gap > 0 else p)
    if not against:
        raise ValueError("gold tells no pair apart: there is nothing to disagree with")
    return sum(against) / len(against)


def calibrate(
    population: Sequence[SimulatedRater], pairs: Sequence[Pair], target: float = 0.25
) -> list[SimulatedRater]:
    """The same people with all noise scaled so that `disagreement` on these pairs is the target, as near as it gets."""
    low, high = 0.02, 20.0
    for _ in range(24):
        middle = math.sqrt(low * high)
        if disagreement(_scaled(population, middle), pairs) < target:
            low = middle
        else:
            high = middle
    return _scaled(population, math.sqrt(low * high))


def _scaled(population: Sequence[SimulatedRater], factor: float) -> list[SimulatedRater]:
    return [replace(rater, temperature=rater.temperature * factor) for rater in population]
