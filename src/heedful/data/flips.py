"""How many labels are flipped, read off how often two judgements of one pair disagree.

Where each label is wrong with chance ε, whatever the pair and the other label, two of them disagree with chance
d = 2ε(1 − ε), so ε = (1 − √(1 − 2d))/2. Nobody needs to know which of the two is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from heedful.errors import InputError
from heedful.records import Messages, Ranking


@dataclass(frozen=True, slots=True)
class FlipRate:
    """ε, and what it was read off."""

    rate: float
    disagreement: float  # of two judgements of one pair
    pairs: int  # that were judged twice or more, ties left out

    @property
    def error(self) -> float:
        """Standard error of the rate, as if every pair had two judgements: dε/dd = 1/(2 √(1 − 2d)), so large near ½."""
        return sqrt(self.disagreement * (1 - self.disagreement) / self.pairs / (1 - 2 * self.disagreement)) / 2


def flip_rate(rankings: Iterable[Ranking]) -> FlipRate:
    """Of all pairs of answers that were judged twice or more; each two judgements of a pair count once.

    InputError: no pair was judged twice, or judgements contradict each other as often as coins do.
    """
    votes: dict[tuple[Messages, str, str], Counter[bool]] = {}
    for ranking in rankings:
        for better, worse, tie in ranking.pairs():
            if not tie:
                won, lost = ranking.completions[better], ranking.completions[worse]
                pair = (ranking.prompt.messages, min(won, lost), max(won, lost))
                votes.setdefault(pair, Counter())[won < lost] += 1
    twice = [count for count in votes.values() if count.total() > 1]
    if not twice:
        raise InputError(
            "epsilon = 0 asks for an estimate, but no pair of answers was judged twice: set loss.epsilon to the share "
            "of labels that are wrong, or let two raters judge each prompt (label.overlap = 2)"
        )
    disagreement = sum(c[True] * c[False] for c in twice) / sum(c.total() * (c.total() - 1) // 2 for c in twice)
    if disagreement >= 0.5:
        raise InputError(
            f"two judgements of one pair disagree {disagreement:.1%} of the time ({len(twice)} pairs): no better than "
            "coins, so no epsilon below ½ explains them. If it may be chance, have more pairs judged twice or set "
            "loss.epsilon; else there is nothing to learn from these labels"
        )
    return FlipRate((1 - sqrt(1 - 2 * disagreement)) / 2, disagreement, len(twice))
