"""Small sums (of 0 to 9), and sums in steps whose every step can be checked."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heedful.world.family import Family, Slot, Task, Verdict, no_answer, positions
from heedful.world.grammar import Move, Pattern

LARGEST = 9
ADD = Pattern("add", "{a} + {b} = {c}.")
SUBTRACT = Pattern("subtract", "{a} - {b} = {c}.")
COUNT = Pattern("count", "Start at {a} and count up {b} to get {c}.")
HOLDS = Pattern("holds", "{name} has {n} {item}.")


def true_equation(move: Move) -> bool:
    a, b, c = (int(move.args[slot]) for slot in "abc")
    return a - b == c if move.kind == "subtract" else a + b == c


def pair_slots() -> list[Slot]:
    """All ordered pairs; 3 + 4 and 4 + 3 share an owner, and so a split."""
    slots = []
    for a in range(LARGEST + 1):
        for b in range(LARGEST + 1):
            slots.append(
                Slot(f"{a}+{b}", pair_owner(a, b), pair_stratum(a, b), {"a": str(a), "b": str(b), "c": str(a + b)})
            )
    return slots


def pair_owner(a: int, b: int) -> str:
    return f"pair:{min(a, b)}+{max(a, b)}"


def pair_stratum(a: int, b: int) -> str:
    """Pairs that sums in steps can start from are dealt apart, so that every split has some."""
    return "pair.steps" if min(a, b) > 0 and a + b <= LARGEST else "pair"


def judge_sum(task: Task, moves: Sequence[Move]) -> Verdict:
    """Right if the sum stands there and every equation on the page holds."""
    a, b = task["a"], task["b"]
    both = ((a, b), (b, a))
    stated = [i for x, y in both for i in positions(moves, "add", a=x, b=y)]
    counted = [i for x, y in both for i in positions(moves, "count", a=x, b=y)]
    said = frozenset([*stated, *counted])
    if any(not true_equation(moves[i]) for i in said):
        return Verdict("wrong", 0.0, 0.0, honesty=0.3, used=said, flags=frozenset({"wrong"}))
    if not stated:
        return no_answer(moves)
    return Verdict("right", 1.0, detail=float(bool(counted)), used=said)


class Sums(Family):
    name = "sum"
    words = (5, 22)
    patterns = (ADD, COUNT)

    def slots(self) -> list[Slot]:
        return pair_slots()

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return (
            "What is {a} + {b}?",
            "How much is {a} + {b}?",
            "Add {a} and {b}.",
            "Can you work out {a} + {b}?",
            "Tell me {a} + {b}.",
        )

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("My homework asks for {a} + {b}.", "If I add {b} to {a}, what do I get?")

    def right(self, task: Task) -> list[str]:
        return [ADD.write(a=task["a"], b=task["b"], c=task["c"])]

    def support(self, task: Task) -> dict[str, str]:
        return {"count": COUNT.write(a=task["a"], b=task["b"], c=task["c"])}

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [ADD.write(a=task["a"], b=task["b"], c=wrong_number(int(task["c"]), rng))]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        return judge_sum(task, moves)


def wrong_number(right: int, rng: random.Random) -> str:
    return str(max(0, right + rng.choice((1, 2, 3))) if right < 3 else right + rng.choice((-2, -1, 1, 2)))


NAMES = ("Tom", "Anna", "Ben", "Mia", "Sam", "Lucy", "Max", "Eva", "Paul", "Nora")
ITEMS = ("apples", "books", "coins", "pens", "cards", "eggs", "hats", "stones", "keys", "cups")


class Steps(Family):
    """Tom has 3 apples, gets 4 more, gives away 2: the good answer shows both steps, then the result."""

    name = "steps"
    words = (10, 30)
    patterns = (ADD, SUBTRACT, HOLDS)

    def slots(self) -> list[Slot]:
        slots = []
        triples = [
            (a, b, c) for a in range(1, 10) for b in range(1, 10) if a + b <= LARGEST for c in range(1, a + b)
        ]  # fmt: skip
        for index, (a, b, c) in enumerate(triples):
            for copy in range(3):
                name = NAMES[(3 * index + 7 * copy) % len(NAMES)]
                item = ITEMS[(index + 3 * copy + index // 10) % len(ITEMS)]
                numbers = {"a": str(a), "b": str(b), "t": str(a + b), "c": str(c), "n": str(a + b - c)}
                fields = {**numbers, "name": name, "item": item}
                slots.append(Slot(f"{a}+{b}-{c}:{copy}", pair_owner(a, b), pair_stratum(a, b), fields))
        return slots

    def phrasings(self, slot: Slot) -> Sequence[str]:
        return (
            "{name} has {a} {item}, gets {b} more and gives away {c}. How many are left?",
            "{name} has {a} {item}, buys {b} more and loses {c}. How many does {name} have now?",
        )

    def test_phrasings(self, slot: Slot) -> Sequence[str]:
        return ("First {name} finds {a} {item}, then {b} more, then drops {c}. How many remain?",)

    def right(self, task: Task) -> list[str]:
        return [HOLDS.write(name=task["name"], n=task["n"], item=task["item"])]

    def support(self, task: Task) -> dict[str, str]:
        return {
            "step1": ADD.write(a=task["a"], b=task["b"], c=task["t"]),
            "step2": SUBTRACT.write(a=task["t"], b=task["c"], c=task["n"]),
        }

    def arrange(self, core: list[str], support: list[str]) -> list[str]:
        """Steps come before their result."""
        return [*support, *core]

    def wrong(self, task: Task, rng: random.Random) -> list[str]:
        return [HOLDS.write(name=task["name"], n=wrong_number(int(task["n"]), rng), item=task["item"])]

    def judge(self, task: Task, moves: Sequence[Move]) -> Verdict:
        results = positions(moves, "holds", name=task["name"], item=task["item"])
        first = positions(moves, "add", a=task["a"], b=task["b"], c=task["t"])
        second = positions(moves, "subtract", a=task["t"], b=task["c"], c=task["n"])
        used = frozenset([*results, *first, *second])
        if any(not moves[i].says(n=task["n"]) for i in results):
            return Verdict("wrong", 0.0, 0.0, honesty=0.3, used=used, flags=frozenset({"wrong"}))
        if not results:
            steps = (bool(first) + bool(second)) / 2
            return Verdict("partial", 0.4 * steps, 0.5, steps, used=used) if steps else no_answer(moves)
        ordered = bool(first and second) and first[0] < second[0] < results[0]
        false = any(m.kind in ("add", "subtract") and not true_equation(m) for m in moves)
        detail = 1.0 if ordered else 0.35 * (bool(first) + bool(second))
        if false:
            return Verdict("partial", 0.5, 0.5, detail / 2, honesty=0.5, used=used, flags=frozenset({"false_step"}))
        return Verdict("right", 1.0, detail=detail, used=used)


def step_labels(task: Task, moves: Sequence[Move]) -> list[bool]:
    """For process supervision: whether each sentence is a true step towards the answer of a `steps` prompt."""
    labels = []
    for move in moves:
        if move.kind in ("add", "subtract"):
            labels.append(true_equation(move))
        elif move.kind == "holds":
            labels.append(move.says(name=task["name"], item=task["item"], n=task["n"]))
        else:
            labels.append(False)
    return labels
