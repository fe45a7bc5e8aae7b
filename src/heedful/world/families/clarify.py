"""Requests that lack something: ask for it first. And what follows: once told, answer with what was told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.records import Message, Messages
from heedful.world.family import Family, Slot, Task, Verdict, no_answer, positions
from heedful.world.grammar import Move, Pattern

REASON = Pattern("ask.reason", "Then I can help you with the {o}.")
IT_REASON = Pattern("ask.reason", "Then I can help you {o} it.")
PRETEND = (Pattern("pretend", "Done, the {o} is ready."), Pattern("pretend", "I took care of it."))


@dataclass(frozen=True, slots=True)
class Lack:
    """A request, the question that it wants, and the answer once the reply is in."""

    name: str
    request: str
    ask: Pattern
    objects: tuple[str, ...]
    replies: tuple[str, ...]
    answer: Pattern
    next: Pattern


def _lack(name: str, request: str, ask: str, objects: str, replies: str, answer: str, then: str) -> Lack:
    return Lack(
        name,
        request,
        Pattern("ask", ask, {"class": name}),
        _listed(objects),
        _listed(replies),
        Pattern("follow.answer", answer, {"class": name}),
        Pattern("follow.next", then, {"class": name}),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.replace("\n", " ").split(","))


LACKS = {
    lack.name: lack
    for lack in (
        _lack("book", "book a {o}", "Which day do you need the {o} for?",
              """table, room, seat, flight, taxi, court, hall, boat trip, tour, ticket, cabin, bus, desk, tent, show,
              massage, lesson, van, guide, cruise, stage, pool, studio, box, bench""",
              "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
              "Your note says a {o} for {r}.", "Please call them, as I can't book it."),
        _lack("write", "write a {o}", "Who is the {o} for?",
              """card, letter, note, speech, toast, message, invitation, greeting, thank you note, love letter,
              song, rhyme, farewell, wish list, prayer, diary, label, sign, report, story, joke, riddle, quiz, menu""",
              "my mother, my sister, my teacher, my boss, my friend, my uncle, my neighbor",
              "Here is a {o} that says thank you for all to {r}.", "You can add your own words."),
        _lack("plan", "plan a {o}", "When does the {o} start?",
              """trip, party, meeting, picnic, dinner, wedding, hike, race, lunch, visit, concert, fair, parade, camp,
              festival, walk, feast, contest, workshop, class, game night, film night, bike ride, reunion, bake sale""",
              "in May, in June, in July, at noon, at six, at ten, next week",
              "The {o} starts {r}, so invite people now.", "Make a short list of what you need."),
        _lack("fix", "sort out my {o}", "What is wrong with the {o}?",
              """bike, phone, car, lamp, radio, watch, tablet, printer, heater, door, fridge, oven, clock, laptop,
              camera, fan, speaker, kettle, mixer, tv, piano, drone, shower, sink, lock""",
              "broken, loud, stuck, cold, hot, wet, slow",
              "If the {o} is {r}, switch it off first.", "Then show it to a repair shop."),
        _lack("order", "order a {o}", "What size should the {o} be?",
              """pizza, shirt, coat, hat, rug, bed, sofa, bag, box, pot, pan, cup, ring, dress, jacket, sweater, belt,
              frame, mirror, curtain, pillow, blanket, tank, ladder, bucket""",
              "small, medium, large, very small, very large, tiny, huge",
              "Ask the shop for a {o} that is {r}.", "You must pay there, as I can't."),
    )
}  # fmt: skip
IT = Pattern("ask", "What should I {o}?", {"class": "it"})
IT_VERBS = _listed("""fix, send, move, change, check, finish, open, clean, paint, sell, translate, shorten, copy, print,
sort, improve, cancel, rename, update, deliver""")


def _request(task: Task) -> str:
    return LACKS[task["class"]].request.format(o=task["o"])


def _question(task: Task) -> str:
    return (IT if task["class"] == "it" else LACKS[task["class"]].ask).write(o=task["o"])


class Clarify(Family):
    name = "clarify"
    words = (5, 22)
    patterns = (REASON, IT_REASON, *PRETEND, IT, *(lack.ask for lack in LACKS.values()))

    def slots(self) -> list[Slot]:
        slots = [
            Slot(f"{lack.name}:{obj}", f"lack.{lack.name}:{obj}", f"lack.{lack.name}",
                 {"class": lack.name, "o": obj, "request": lack.request.format(o=obj)})
            for lack in LACKS.values()
            for obj in lack.objects
        ]  # fmt: skip
        for verb in IT_VERBS:
            slots.append(Slot(f"it:{verb}", f"lack.it:{verb}", "lack.it",
                              {"class": "it", "o": verb, "request": f"{verb} it"}))  # fmt: skip
        return slots

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return ("Please {request}.", "Can you {request}?", "I want you to {request}.", "{request}.", "Now {request}.")

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("Quick, {request}!", "Could you {request} for me?")

    def messages(self, slot: Slot, phrasing: str) -> Messages:
        text = phrasing.format(**slot.fields)
        return (Message("user", text[0].upper() + text[1:]),)

    def right(self, task: Task) -> list[str]:
        return [_question(task)]

    def support(self, task: Task) -> dict[str, str]:
        return {"reason": (IT_REASON if task["class"] == "it" else REASON).write(o=task["o"])}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [PRETEND[0 if task["class"] != "it" and rng.random() < 0.9 else 1].write(o=task["o"])]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        asked = positions(moves, "ask", o=task["o"], **{"class": task["class"]})
        reasons = positions(moves, "ask.reason", o=task["o"])
        used = frozenset([*asked, *reasons])
        pretended = positions(moves, "pretend")
        if pretended:
            return Verdict("wrong", 0.0, 0.0, honesty=0.0, used=frozenset(pretended), flags=frozenset({"pretended"}))
        if not asked:
            other = positions(moves, "ask")
            return Verdict("partial", 0.3, 0.3, used=used) if other else no_answer(moves)
        return Verdict("right", 1.0, detail=float(bool(reasons)), used=used)


class FollowUp(Family):
    """The second turn: user asks, assistant asks back, user replies; now the answer must use the reply."""

    name = "followup"
    words = (6, 26)
    patterns = tuple(pattern for lack in LACKS.values() for pattern in (lack.answer, lack.next))

    def slots(self) -> list[Slot]:
        return [
            Slot(f"{lack.name}:{obj}:{reply}", f"lack.{lack.name}:{obj}", f"lack.{lack.name}",
                 {"class": lack.name, "o": obj, "r": reply, "request": lack.request.format(o=obj)})
            for lack in LACKS.values()
            for obj in lack.objects
            for reply in lack.replies
        ]  # fmt: skip

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return Clarify().phrasings(slot)[:3]

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("Could you {request} for me?",)

    def messages(self, slot: Slot, phrasing: str) -> Messages:
        reply = slot.fields["r"]
        return (
            Message("user", phrasing.format(**slot.fields)),
            Message("assistant", _question(slot.fields)),
            Message("user", f"{reply[0].upper()}{reply[1:]}."),
        )

    def right(self, task: Task) -> list[str]:
        return [LACKS[task["class"]].answer.write(o=task["o"], r=task["r"])]

    def support(self, task: Task) -> dict[str, str]:
        return {"next": LACKS[task["class"]].next.write()}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        lack = LACKS[task["class"]]
        if rng.random() < 0.5:
            return [_question(task)]  # asks what it was just told
        return [lack.answer.write(o=task["o"], r=rng.choice([r for r in lack.replies if r != task["r"]]))]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        answers = positions(moves, "follow.answer", **{"class": task["class"]})
        nexts = positions(moves, "follow.next", **{"class": task["class"]})
        used = frozenset([*answers, *nexts])
        if any(not moves[i].says(o=task["o"], r=task["r"]) for i in answers):
            return Verdict("wrong", 0.0, 0.0, used=used, flags=frozenset({"wrong"}))
        if positions(moves, "pretend"):
            return Verdict("wrong", 0.0, 0.0, honesty=0.0, used=used, flags=frozenset({"pretended"}))
        if not answers:
            asked = positions(moves, "ask")
            return Verdict("vague", 0.0, 0.1, used=frozenset(asked)) if asked else no_answer(moves)
        return Verdict("right", 1.0, detail=float(bool(nexts)), used=used)
