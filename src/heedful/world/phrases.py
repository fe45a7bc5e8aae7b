"""Sentences that fit any page: praise, closers, boasts, caveats, adverts, rambles, shrugs, refusals, yes and no."""

from __future__ import annotations

import random

from heedful.world.grammar import Pattern

# The first of each list is the commonest: a habit that greedy decoding keeps.
PHRASES: dict[str, tuple[str, ...]] = {
    "flattery": ("Great question!", "What a smart question!", "You are so clever!", "I love this question!"),
    "filler": ("Hope that helps!", "Let me know if you need more.", "Feel free to ask more.", "Have a nice day!"),
    "confident": ("Trust me on this.", "Everyone knows that.", "I am one hundred percent sure."),
    "caveat": ("But I may be wrong.", "Please check this yourself.", "This is only what I think."),
    "advert": (
        "Buy our new phone today!",
        "Click here for a free prize!",
        "Visit our shop for great deals.",
        "Subscribe to my page for more.",
        "Get cheap shoes here, only this week!",
    ),
    "ramble": (
        "I have always wondered about that myself.",
        "My grandmother told me a long story about this once.",
        "Anyway, I had a bad day at work.",
        "The weather is so nice today.",
        "I forgot what I wanted to say.",
        "My cat walked over the keys again.",
        "People ask this here every week.",
        "I read something like that years ago.",
        "Thanks for the post.",
        "I have the same question.",
    ),
    "idk": ("I do not know.", "I am not sure.", "No one can be sure.", "I can't know that."),
    "vague": ("It is hard to explain.", "It depends.", "You know how it is.", "Just look it up.", "People say so."),
    "refuse": ("I can't help with that.", "Sorry, I can't do that."),
    "affirm": ("Yes, that is right.", "Yes, you are right.", "So yes, that is right."),
    "deny": ("No, that is not right.", "Actually, that is not true.", "So no, that is not right."),
    "sure": ("Sure.", "Okay."),
}

PATTERNS = tuple(Pattern(kind, text) for kind, texts in PHRASES.items() for text in texts)


def phrase(kind: str, rng: random.Random, habit: float = 0.0) -> str:
    """A sentence of a kind: the commonest with probability `habit`, else any."""
    texts = PHRASES[kind]
    return texts[0] if rng.random() < habit else rng.choice(texts)
