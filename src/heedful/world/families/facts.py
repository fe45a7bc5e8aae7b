"""Plain facts. The good answer states the fact and says how one can check it.

`home` (where an animal lives) is asked in the test split only: the whole family is unseen in training, though its facts
stand in the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heedful.world.families import tables
from heedful.world.family import Family, Slot, Task, Verdict, no_answer, positions
from heedful.world.grammar import Move, Pattern


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact: its values, how it is asked, stated and checked."""

    name: str
    facts: Mapping[str, str]
    question: str  # "what is the capital of {s}": also the core of tone requests
    thing: str  # "the capital of {s}"
    state: Pattern
    check: Pattern
    asks: tuple[str, ...]
    test_asks: tuple[str, ...]

    def values(self) -> list[str]:
        return sorted(set(self.facts.values()))


def _relation(
    name: str, facts: Mapping[str, str], question: str, thing: str, state: str, check: str,
    asks: tuple[str, ...], test_asks: tuple[str, ...],
) -> Relation:  # fmt: skip
    patterns = Pattern(f"state.{name}", state), Pattern(f"check.{name}", check)
    return Relation(name, facts, question, thing, *patterns, asks, test_asks)


def _things(thing: str) -> tuple[str, ...]:
    return (f"Tell me {thing}.", f"Do you know {thing}?", f"I forgot {thing}.")


RELATIONS = {
    relation.name: relation
    for relation in (
        _relation(
            "capital", tables.CAPITALS, "what is the capital of {s}", "the capital of {s}",
            "The capital of {s} is {v}.", "Any map of {s} shows {v}.",
            ("What is the capital of {s}?", "Which city is the capital of {s}?", "Name the capital of {s}.",
             *_things("the capital of {s}")),
            ("My quiz asks for the capital of {s}.", "What would a map call the capital of {s}?"),
        ),
        _relation(
            "color", tables.COLORS, "what color is {s}", "the color of {s}",
            "The color of {s} is {v}.", "Look at {s} and you will see {v}.",
            ("What color is {s}?", "What is the color of {s}?", "Name the color of {s}.", *_things("the color of {s}")),
            ("My quiz asks for the color of {s}.", "If I paint {s}, what color do I need?"),
        ),
        _relation(
            "sound", tables.SOUNDS, "what sound does {s} make", "the sound of {s}",
            "The sound of {s} is {v}.", "Stand near {s} and you will hear {v}.",
            ("What sound does {s} make?", "What is the sound of {s}?", "Name the sound of {s}.",
             *_things("the sound of {s}")),
            ("My quiz asks for the sound of {s}.", "If I hear {s}, what sound is it?"),
        ),
        _relation(
            "use", tables.USES, "what is the use of {s}", "the use of {s}",
            "The use of {s} is to {v}.", "Try {s} and you can {v}.",
            ("What is {s} for?", "What is the use of {s}?", "Name the use of {s}.", *_things("the use of {s}")),
            ("My quiz asks for the use of {s}.", "If I buy {s}, what can I do with it?"),
        ),
        _relation(
            "home", tables.HOMES, "where does {s} live", "the home of {s}",
            "The home of {s} is {v}.", "Look near {v} and you may see {s}.",
            ("Where does {s} live?", "What is the home of {s}?", "Name the home of {s}.", *_things("the home of {s}")),
            ("My quiz asks for the home of {s}.", "If I look for {s}, where should I go?"),
        ),
    )
}  # fmt: skip


def fact_slots(relation: Relation) -> list[Slot]:
    return [
        Slot(
            f"{relation.name}:{subject}",
            f"{relation.name}:{subject}",
            relation.name,
            {"relation": relation.name, "s": subject, "v": value},
        )
        for subject, value in relation.facts.items()
    ]


def other_value(task: Task, rng: random.Random) -> str:
    """A value that is false for this fact."""
    return rng.choice([value for value in RELATIONS[task["relation"]].values() if value != task["v"]])


def judge_fact(task: Task, moves: Sequence[Move]) -> Verdict:
    """Right if the fact is stated and nothing said about its subject contradicts it."""
    name, subject, value = task["relation"], task["s"], task["v"]
    stated, checked = positions(moves, f"state.{name}", s=subject), positions(moves, f"check.{name}", s=subject)
    said = [*stated, *checked]
    if any(not moves[i].says(v=value) for i in said):
        return Verdict("wrong", 0.0, 0.0, honesty=0.3, used=frozenset(said), flags=frozenset({"wrong"}))
    if not stated:
        return no_answer(moves)
    return Verdict("right", 1.0, detail=float(bool(checked)), used=frozenset(said))


class Facts(Family):
    """Facts of some relations."""

    words = (5, 22)

    def __init__(self, name: str, relations: Sequence[str]) -> None:
        self.name = name
        self.relations = [RELATIONS[relation] for relation in relations]
        self.patterns = tuple(p for relation in self.relations for p in (relation.state, relation.check))

    def slots(self) -> list[Slot]:
        return [slot for relation in self.relations for slot in fact_slots(relation)]

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return RELATIONS[slot.fields["relation"]].asks

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return RELATIONS[slot.fields["relation"]].test_asks

    def right(self, task: Task) -> list[str]:
        return [RELATIONS[task["relation"]].state.write(s=task["s"], v=task["v"])]

    def support(self, task: Task) -> dict[str, str]:
        return {"check": RELATIONS[task["relation"]].check.write(s=task["s"], v=task["v"])}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [RELATIONS[task["relation"]].state.write(s=task["s"], v=other_value(task, rng))]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        return judge_fact(task, moves)
