"""Ready-made probes: the seeds' order of answers, and examples to prompt the raw base with."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heedful.records import Message, Messages, Prompt
from heedful.world.compose import ideal_answer, vague_answer, wrong_answer
from heedful.world.draws import draw
from heedful.world.families import FAMILIES
from heedful.world.gold import GoldJudge
from heedful.world.splits import pool

Rung = tuple[Prompt, tuple[str, str, str]]
FEW_SHOT_FAMILIES = ("fact", "sum", "claim", "harm", "unknowable", "howto", "explain", "benign")


def ladder(families: Sequence[str] | None = None, per_family: int = 20, split: str = "test") -> list[Rung]:
    """Unseen prompts, each with (detailed and clear, vague, wrong): the order that a reward model should find."""
    rungs = []
    for name in families or list(FAMILIES):
        rng = random.Random(f"ladder/{split}/{name}")
        held = pool(split)[name]
        found = [_rung(prompt, rng) for prompt in rng.sample(held, len(held))[: 3 * per_family]]
        rungs += [rung for rung in found if _ordered(rung)][:per_family]  # a cruel story is bad, yet better than none
    return rungs


def _rung(prompt: Prompt, rng: random.Random) -> Rung:
    return prompt, (ideal_answer(prompt), vague_answer(prompt, rng), wrong_answer(prompt, rng))


def _ordered(rung: Rung) -> bool:
    """Whether gold itself ranks them so."""
    detailed, vague, wrong = (GoldJudge().score(rung[0], text).total for text in rung[1])
    return detailed > vague > wrong


def few_shot_messages(count: int = 4, seed: int = 0) -> list[Messages]:
    """Short pages with one good answer each, from prompts of the sft split: a fair way to prompt the raw base."""
    rng = random.Random(f"few-shot/{seed}")
    chosen = []
    for index in range(count):
        name = FEW_SHOT_FAMILIES[index % len(FEW_SHOT_FAMILIES)]
        chosen += draw({name: pool("sft")[name]}, 1, rng)
    return [(*prompt.messages, Message("assistant", ideal_answer(prompt))) for prompt in chosen]


def few_shot_prefix(
    count: int = 4,
    seed: int = 0,
    user: str = "<|user|>\n",
    assistant: str = "\n<|assistant|>\n",
    end: str = "<|eos|>",
) -> str:
    """The same pages as one text, to stand before a prompt; the markers are those of the chat template."""
    marks = {"user": user, "assistant": assistant}
    return "".join(
        "".join(marks[message.role] + message.content for message in page) + end
        for page in few_shot_messages(count, seed)
    )
