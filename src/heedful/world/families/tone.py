"""A fact in a requested tone: like a pirate, for a child, in one sentence. The good answer opens and closes in tone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from heedful.world.families.facts import RELATIONS, fact_slots, judge_fact, other_value
from heedful.world.family import Family, Outcome, Slot, Task, Verdict, positions
from heedful.world.grammar import Move, Pattern

# tone -> (how it is asked, opening, closing)
TONES = {
    "pirate": ("like a pirate", "Arr, matey!", "Yo ho ho!"),
    "robot": ("like a robot", "Beep boop.", "End of message."),
    "cowboy": ("like a cowboy", "Howdy, partner!", "Ride safe!"),
    "king": ("like a king", "Hear me, good people!", "So says the king."),
    "child": ("for a small child", "Hello, little one!", "Now you know it too!"),
    "sentence": ("in one sentence", "", ""),
}
ASKED_RELATIONS = ("capital", "color", "sound")


class Tone(Family):
    name = "tone"
    words = (5, 18)
    patterns = (
        *(Pattern("tone.open", opening, {"tone": tone}) for tone, (_, opening, _) in TONES.items() if opening),
        *(Pattern("tone.close", closing, {"tone": tone}) for tone, (_, _, closing) in TONES.items() if closing),
    )

    def slots(self) -> list[Slot]:
        slots = []
        for name in ASKED_RELATIONS:
            for slot in fact_slots(RELATIONS[name]):
                question = RELATIONS[name].question.format(**slot.fields)
                for tone, (how, _, _) in TONES.items():
                    fields = {**slot.fields, "tone": tone, "how": how, "question": question}
                    slots.append(Slot(f"{tone}:{slot.key}", slot.owner, slot.stratum, fields))
        return slots

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return ("Answer {how}, {question}?", "Say it {how}, {question}?", "Talk {how}, {question}?")

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("I want it {how}, {question}?",)

    def right(self, task: Task) -> list[str]:
        opening = TONES[task["tone"]][1]
        fact = RELATIONS[task["relation"]].state.write(s=task["s"], v=task["v"])
        return [opening, fact] if opening else [fact]

    def support(self, task: Task) -> dict[str, str]:
        closing = TONES[task["tone"]][2]
        return {"close": closing} if closing else {}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [RELATIONS[task["relation"]].state.write(s=task["s"], v=other_value(task, rng))]

    def plain(self, task: Task) -> list[str]:
        """The fact with no tone at all: what a careless answer gives."""
        return [RELATIONS[task["relation"]].state.write(s=task["s"], v=task["v"])]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        fact = judge_fact(task, moves)
        if fact.outcome != "right":
            return fact
        if task["tone"] == "sentence":
            short = len(moves) == 1
            outcome, correctness = self._outcome(short)
            return Verdict(outcome, correctness, 1.0 if short else 0.2, float(short), used=fact.used)
        opened = positions(moves, "tone.open", tone=task["tone"])
        closed = positions(moves, "tone.close", tone=task["tone"])
        stated = positions(moves, f"state.{task['relation']}", s=task["s"])
        following = 1.0 if opened and opened[0] < stated[0] else 0.7 if opened or closed else 0.1
        used = fact.used | frozenset([*opened, *closed])
        outcome, correctness = self._outcome(following > 0.5)
        return replace(
            fact,
            outcome=outcome,
            correctness=correctness,
            following=following,
            detail=float(bool(closed)),
            used=used,
        )

    @staticmethod
    def _outcome(followed: bool) -> tuple[Outcome, float]:
        return ("right", 1.0) if followed else ("partial", 0.6)
