"""Sentiment as a truth: a lexicon (VADER; Hutto and Gilbert 2014) on the text.

The truth of the classic experiment on real text (Ziegler 2019; Rafailov 2023, section 6): how positive is the
continuation? The lexicon comes with its package, so nothing is fetched. Imports no torch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from heedful.judges.protocol import Judgement
from heedful.records import Prompt

NOISE = 0.15  # temperature of a rater's noise in units of the compound: about a quarter of labels against the truth

_SENTENCE = re.compile(r"(?<=[.!?])[\"']?\s+|\n+")


class SentimentJudge:
    """Mean VADER compound over the sentences of a continuation, in [−1, 1]; the prompt's own words do not count.

    The compound of a whole text grows with its length, so a mean over sentences is what does not reward rambling.
    """

    def score(self, prompt: Prompt, text: str) -> Judgement:
        value = compound(text)
        return Judgement(value, {"sentiment": value})

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Judgement]:
        """The Judge protocol."""
        return [self.score(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


@lru_cache(maxsize=100_000)
def compound(text: str) -> float:
    """The mean compound over sentences; 0 for a text without any."""
    sentences = [part for part in _SENTENCE.split(text.strip()) if part]
    if not sentences:
        return 0.0
    return sum(float(_analyzer().polarity_scores(part)["compound"]) for part in sentences) / len(sentences)


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package opens its lexicon through codecs.open
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        return SentimentIntensityAnalyzer()
