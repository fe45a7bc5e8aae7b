"""The corpus: web-like pages. A question, an answer of mixed quality, and then it goes on: every page does.

A page is a conversation whose last assistant turn holds the first answer and all that follows it (other people's
answers, an answer to something else, adverts, ramble), so that a model of the pages never learns to stop after one.
"""

from __future__ import annotations

import random
from collections import defaultdict

from heedful.records import Message, Messages, Prompt
from heedful.world.compose import answer, question
from heedful.world.families import FAMILIES
from heedful.world.families.facts import RELATIONS
from heedful.world.phrases import phrase
from heedful.world.rates import CORPUS_MIX, FOLLOWER_KINDS, FOLLOWERS, PROSE_SHARE, WEB
from heedful.world.splits import nowhere, slot_prompts

LONGEST = 64  # words of what an assistant turn of a page may hold


class Pages:
    """Writes pages. Holds the prompts that may stand in the corpus: all but those on the nowhere names."""

    def __init__(self) -> None:
        self._prompts: dict[str, list[list[Prompt]]] = {}
        for family in FAMILIES.values():
            buckets: dict[str, list[Prompt]] = defaultdict(list)
            for slot in family.slots():
                if not nowhere(family, slot):
                    for unseen in (False, True):
                        buckets[slot.bucket] += slot_prompts(family, slot, unseen_phrasings=unseen)
            self._prompts[family.name] = list(buckets.values())

    def prompt(self, rng: random.Random) -> Prompt:
        family = rng.choices(list(CORPUS_MIX), list(CORPUS_MIX.values()))[0]
        return rng.choice(rng.choice(self._prompts[family]))

    def page(self, rng: random.Random) -> Messages:
        if rng.random() < PROSE_SHARE:
            return (Message("text", prose(rng)),)
        prompt = self.prompt(rng)
        return (*prompt.messages, Message("assistant", self.reply(prompt, rng)))

    def reply(self, prompt: Prompt, rng: random.Random) -> str:
        """The first answer and all that follows it: what a perfect model of the web would say."""
        asked = question(prompt)
        parts = [answer(asked, WEB, rng)]
        for _ in range(rng.choices(list(FOLLOWERS), list(FOLLOWERS.values()))[0]):
            kind = rng.choices(list(FOLLOWER_KINDS), list(FOLLOWER_KINDS.values()))[0]
            if kind == "answer":
                text = answer(asked, WEB, rng)
            elif kind == "stray":
                text = answer(question(self.prompt(rng)), WEB, rng)
            else:
                text = phrase(kind, rng)
            if sum(len(part.split()) for part in [*parts, text]) <= LONGEST:
                parts.append(text)
        return " ".join(parts)


def prose(rng: random.Random) -> str:
    """A page with no question: some facts in a row, as an almanac has them."""
    lines = []
    for _ in range(rng.randint(2, 5)):
        relation = rng.choice(list(RELATIONS.values()))
        subject = rng.choice(list(relation.facts))
        lines.append(relation.state.write(s=subject, v=relation.facts[subject]))
    return " ".join([*lines, phrase("ramble", rng)])
