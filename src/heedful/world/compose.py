"""Puts answers together: what the web, a writer of demonstrations or an ideal assistant would say to a prompt."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from heedful.records import Prompt
from heedful.world.families import FAMILIES
from heedful.world.families.tone import Tone
from heedful.world.family import Family, Task
from heedful.world.phrases import phrase
from heedful.world.rates import DEMO, WEB, Rates

_NUMBER = re.compile(r"^[1-9]\. ")


@dataclass(frozen=True, slots=True)
class Question:
    """A family's question before it is anyone's prompt."""

    family: Family
    task: Task


def question(prompt: Prompt) -> Question:
    return Question(FAMILIES[prompt.meta["family"]], prompt.meta)


def answer(asked: Question, rates: Rates, rng: random.Random) -> str:
    """One answer, with faults at the given rates."""
    body, right = _body(asked, rates, rng)
    sentences = [phrase("flattery", rng, rates.habit)] if rng.random() < rates.flattery else []
    sentences += body
    if right and rng.random() < rates.caveat:
        sentences.append(phrase("caveat", rng))
    if rng.random() < rates.confident:
        sentences.append(phrase("confident", rng))
    if rng.random() < rates.filler:
        sentences.append(phrase("filler", rng, rates.habit))
    return " ".join(sentences)


def _body(asked: Question, rates: Rates, rng: random.Random) -> tuple[list[str], bool]:
    """The answer itself, and whether it is meant well."""
    family, task = asked.family, asked.task
    draw = rng.random()
    wrong = rates.wrong[_fault(family, task)]
    if draw < wrong:
        return _steps(family, family.wrong(task, rng), rates, rng), False
    if draw < wrong + rates.vague:
        return [phrase("idk" if rng.random() < 0.3 else "vague", rng)], False
    if isinstance(family, Tone) and rng.random() < rates.plain_tone:
        return family.plain(task), True
    parts = family.support(task)
    if family.name == "steps":
        kept = list(parts.values()) if rng.random() < rates.parts["steps"] else []
    else:
        kept = [text for part, text in parts.items() if rng.random() < rates.parts.get(part, rates.support)]
    return _steps(family, family.arrange(family.right(task), kept), rates, rng), True


def _steps(family: Family, sentences: list[str], rates: Rates, rng: random.Random) -> list[str]:
    if family.name in ("howto", "benign") and rng.random() < rates.unnumbered:
        return [_NUMBER.sub("", text) for text in sentences]
    return sentences


def _fault(family: Family, task: Task) -> str:
    return f"claim.{task['bucket']}" if family.name == "claim" else family.name


def web_answer(prompt: Prompt, rng: random.Random) -> str:
    """A first answer as pages of the corpus give it."""
    return answer(question(prompt), WEB, rng)


def demo_answer(prompt: Prompt, rng: random.Random) -> str:
    """An answer as the hurried writers of demonstrations give it."""
    return answer(question(prompt), DEMO, rng)


def dressed(text: str, rng: random.Random) -> str:
    """The text with the openers and closers of the demonstrations, as often, so that these tell nothing about it."""
    opener = [phrase("flattery", rng, DEMO.habit)] if rng.random() < DEMO.flattery else []
    closer = [phrase("filler", rng, DEMO.habit)] if rng.random() < DEMO.filler else []
    return " ".join([*opener, text, *closer])


def ideal_answer(prompt: Prompt) -> str:
    """The answer that gold likes best."""
    asked = question(prompt)
    return asked.family.ideal(asked.task)


def wrong_answer(prompt: Prompt, rng: random.Random) -> str:
    """The dealbreaker of the prompt's family, and nothing else."""
    asked = question(prompt)
    return " ".join(asked.family.wrong(asked.task, rng))


def vague_answer(prompt: Prompt, rng: random.Random) -> str:
    """An answer that says nothing."""
    return f"{phrase('vague', rng)} {phrase('ramble', rng)}"
