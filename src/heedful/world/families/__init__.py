"""The prompt families. Each file holds one kind of question with its truth, its answers and its rubric."""

from __future__ import annotations

from heedful.world.families.claims import Claims
from heedful.world.families.clarify import Clarify, FollowUp
from heedful.world.families.explain import Explain
from heedful.world.families.facts import Facts
from heedful.world.families.harm import Harm
from heedful.world.families.howto import benign, howto
from heedful.world.families.sums import Steps, Sums
from heedful.world.families.tone import Tone
from heedful.world.families.unknown import Invented, Unknowable
from heedful.world.families.writing import Writing
from heedful.world.family import Family
from heedful.world.grammar import Grammar
from heedful.world.phrases import PATTERNS

UNSEEN_FAMILY = "home"

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Facts("fact", ("capital", "color", "sound", "use")),
        Sums(),
        Claims(),
        Harm(),
        benign(),
        Unknowable(),
        Invented(),
        howto(),
        Explain(),
        Writing(),
        Tone(),
        Clarify(),
        FollowUp(),
        Steps(),
        Facts(UNSEEN_FAMILY, ("home",)),
    )
}

GRAMMAR = Grammar([*PATTERNS, *(pattern for family in FAMILIES.values() for pattern in family.patterns)])
