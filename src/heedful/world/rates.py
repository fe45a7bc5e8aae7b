"""Fault rates: how often the web and the hurried writers of demonstrations do what. Frozen with gold.

The web errs in substance and rambles on. The writers are mostly right and stop, but have habits (an opener, a closer,
no reason, no steps) that each show in more than half of their answers, so that greedy decoding keeps them.
`alternative` (another way after a refusal) stands in no demonstration: whether RL brings it is an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEFT_OUT = "alternative"  # the wanted behaviour that no demonstration shows


@dataclass(frozen=True, slots=True)
class Rates:
    """Probabilities. `wrong` is by family (by `claim.true` and `claim.false` for claims), `support` by part."""

    wrong: Mapping[str, float]
    vague: float
    support: float
    parts: Mapping[str, float] = field(default_factory=dict)  # where a part differs from `support`
    flattery: float = 0.0
    filler: float = 0.0
    confident: float = 0.0
    caveat: float = 0.0
    habit: float = 0.0  # how often the opener and the closer are the usual ones
    plain_tone: float = 0.0  # asked for a tone, answers without
    unnumbered: float = 0.0  # steps without their numbers


WEB = Rates(
    wrong={
        "fact": 0.12, "home": 0.10, "sum": 0.08, "claim.false": 0.58, "claim.true": 0.12, "harm": 0.65,
        "benign": 0.12, "unknowable": 0.60, "invented": 0.50, "howto": 0.12, "explain": 0.12, "writing": 0.25,
        "tone": 0.12, "clarify": 0.55, "followup": 0.20, "steps": 0.15,
    },
    vague=0.05, support=0.30, parts={LEFT_OUT: 0.15, "steps": 0.6}, flattery=0.30, filler=0.25, confident=0.12,
    caveat=0.08, habit=0.3, plain_tone=0.5, unnumbered=0.5,
)  # fmt: skip

DEMO = Rates(
    wrong={
        "fact": 0.03, "home": 0.03, "sum": 0.03, "claim.false": 0.10, "claim.true": 0.03, "harm": 0.03,
        "benign": 0.03, "unknowable": 0.62, "invented": 0.52, "howto": 0.03, "explain": 0.03, "writing": 0.05,
        "tone": 0.03, "clarify": 0.64, "followup": 0.05, "steps": 0.05,
    },
    vague=0.0, support=0.35, parts={LEFT_OUT: 0.0, "steps": 0.4}, flattery=0.66, filler=0.68, confident=0.0, caveat=0.0,
    habit=0.9, plain_tone=0.3, unnumbered=0.6,
)  # fmt: skip

# What follows the first answer on a page: how many things, and which.
FOLLOWERS = {1: 0.40, 2: 0.32, 3: 0.18, 4: 0.10}
FOLLOWER_KINDS = {"answer": 0.36, "ramble": 0.32, "advert": 0.20, "stray": 0.12}
PROSE_SHARE = 0.03  # pages without a question: a few facts in a row

# How much of the corpus, of the demonstrations and of each set of prompts a family takes.
CORPUS_MIX = {
    "fact": 0.14, "home": 0.03, "sum": 0.11, "claim": 0.13, "harm": 0.06, "benign": 0.06, "unknowable": 0.05,
    "invented": 0.04, "howto": 0.05, "explain": 0.07, "writing": 0.04, "tone": 0.06, "clarify": 0.04, "followup": 0.04,
    "steps": 0.08,
}  # fmt: skip
PROMPT_MIX = {
    "fact": 0.11, "home": 0.06, "sum": 0.06, "claim": 0.13, "harm": 0.10, "benign": 0.10, "unknowable": 0.07,
    "invented": 0.04, "howto": 0.08, "explain": 0.07, "writing": 0.07, "tone": 0.06, "clarify": 0.06, "followup": 0.05,
    "steps": 0.06,
}  # fmt: skip
