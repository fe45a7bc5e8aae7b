"""Raters whose errors are a planted rate, to see what noise does: each sees the truth and sometimes says the opposite.

Unlike `SimulatedRater` they err as often on a clear case as on a close one. With a liking for length they err together
besides, always in the same direction, which no agreement among them can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from heedful.records import Prompt


@dataclass(frozen=True, slots=True)
class FlippingRater:
    """Tells which of two answers is better, and with chance `share` says the opposite, whatever the answers."""

    name: str
    share: float
    length: float  # what ten words are worth to the rater, in the truth's units
    truth: Callable[[Prompt, str], float]

    def utility(self, prompt: Prompt, text: str) -> float:
        """What the rater makes of an answer: the truth, and its liking for length."""
        return self.truth(prompt, text) + self.length * len(text.split()) / 10

    def rank(
        self, prompt: Prompt, texts: Sequence[str], rng: np.random.Generator, tie_width: float = 0.0
    ) -> tuple[int, ...]:
        """(0, 1) or (1, 0); answers less than `tie_width` apart share rank 0. ValueError: not two texts."""
        first, second = (self.utility(prompt, text) for text in texts)
        flipped = rng.random() < self.share
        if first == second or abs(first - second) < tie_width:
            return (0, 0)
        return (0, 1) if (first > second) != flipped else (1, 0)

    def probability(self, prompt: Prompt, a: str, b: str) -> float:
        """P(a preferred to b); ½ where neither is better."""
        gap = self.utility(prompt, a) - self.utility(prompt, b)
        return 0.5 if gap == 0 else self.share if gap < 0 else 1 - self.share
