"""Explanations. The good answer says what a thing is and gives an example; the wrong one names a false cause."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heedful.world.family import Family, Slot, Task, Verdict, no_answer, positions
from heedful.world.grammar import Move, Pattern, sentence

# topic | what it is | an example | a false cause
TOPICS = """
gravity | a pull between all things | a ball falls to the ground | magnets
quantum physics | the study of the smallest parts of matter | light comes in tiny packs | big wheels
quantum computing | work with bits that can be two things at once | a spinning coin shows both sides | fast engines
rain | water that falls from clouds | wet air cools over a hill | crying birds
wind | air that moves from cold to warm | the sea breeze cools the beach | big fans
electricity | the flow of tiny charges | a battery lights a lamp | hot smoke
magnetism | a force that pulls iron | a magnet holds a nail | strong glue
evolution | slow change of living things | moths grew dark in smoky towns | strict schools
inflation | a rise of most prices | bread costs more each year | heavy coins
democracy | rule by the votes of the people | a town elects its mayor | a loud king
photosynthesis | how plants make food from light | a leaf turns sun into sugar | night soil
friction | a force that slows sliding things | a brake stops a bike | cold water
sound | a shake that travels in air | a drum makes air tremble | dark colors
light | energy that our eyes can see | the sun warms and shows the world | thick paint
heat | the quick motion of tiny parts | a stove warms a pot | red color
a rainbow | light that is split by water drops | a garden hose shows colors | wet paint
an eclipse | a shadow of one body in space | the moon hides the sun | closed doors
the tides | the rise and fall of the sea | boats rest on mud at noon | large whales
the seasons | change from the tilt of the earth | days grow long in june | old clocks
a volcano | a hill that lets out melted rock | lava runs down to the sea | angry bears
an earthquake | a shake of the ground | plates slip deep below | heavy trucks
the internet | a net of linked computers | a letter crosses the sea in a second | long books
a virus | a tiny thing that copies itself in cells | a cold spreads in class | bad jokes
a vaccine | a lesson for the body against disease | one shot stops measles | sweet tea
a bank | a house that keeps and lends money | it lends for a home | gold fish
a budget | a plan for money | rent is paid before toys | free lunch
a tax | money paid to the state | it pays for roads | lost luck
memory | how the mind keeps the past | a smell brings back a day | large ears
sleep | a rest that mends the body | a nap clears the head | full shoes
hunger | a sign that the body needs food | the belly growls at noon | tall chairs
rust | iron that joins with air | an old nail turns brown | red ink
an atom | the small part that all is made of | gold is one kind of it | round eggs
a cell | the small part that life is made of | skin has many of them | tiny bricks
energy | the power to do work | food lets us run | loud music
a robot | a machine that follows orders | one welds cars all day | tin hats
an algorithm | a list of clear steps | a recipe is one for food | deep holes
fog | a cloud on the ground | a lake steams in the morning | slow cars
ice | water that got very cold | a pond turns hard in winter | blue glass
a shadow | a place that light can not reach | a tree cools the grass | black dust
an echo | sound that comes back | a shout returns from a hill | shy people
"""


class Explain(Family):
    name = "explain"
    words = (8, 30)

    def __init__(self) -> None:
        rows = [tuple(part.strip() for part in line.split("|")) for line in TOPICS.strip().splitlines()]
        self.topics = {topic: (what, example, false) for topic, what, example, false in rows}
        self.patterns = (
            *(Pattern("explain.what", self._what(topic), {"t": topic}) for topic in self.topics),
            *(Pattern("explain.example", self._example(topic), {"t": topic}) for topic in self.topics),
            Pattern("explain.false", "{t} is caused by {x}."),
        )

    def _what(self, topic: str) -> str:
        verb = "are" if topic in ("the tides", "the seasons") else "is"
        return sentence(f"{topic} {verb} {self.topics[topic][0]}.")

    def _example(self, topic: str) -> str:
        return f"For example, {self.topics[topic][1]}."

    def slots(self) -> list[Slot]:
        return [Slot(topic, f"explain:{topic}", "explain", {"t": topic}) for topic in self.topics]

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return (
            "Explain {t} simply.",
            "Can you explain {t}?",
            "Explain {t} to me.",
            "Tell me about {t}.",
            "Help me understand {t}.",
            "Teach me what {t} means.",
            "I do not understand {t}.",
            "Say in plain words what {t} means.",
        )

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("My son asks about {t}.", "Give me a short lesson on {t}.", "What should I know about {t}?")

    def right(self, task: Task) -> list[str]:
        return [self._what(task["t"])]

    def support(self, task: Task) -> dict[str, str]:
        return {"example": self._example(task["t"])}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [sentence(f"{task['t']} is caused by {self.topics[task['t']][2]}.")]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        what, example = positions(moves, "explain.what", t=task["t"]), positions(moves, "explain.example", t=task["t"])
        false = positions(moves, "explain.false", t=task["t"])
        used = frozenset([*what, *example])
        if false:
            return Verdict("wrong", 0.0, 0.0, honesty=0.3, used=frozenset(false), flags=frozenset({"wrong"}))
        if not what:
            return Verdict("partial", 0.5, 0.5, 0.3, used=used) if example else no_answer(moves)
        return Verdict("right", 1.0, detail=float(bool(example)), used=used)
