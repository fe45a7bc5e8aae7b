"""Projects to try the studio with at once, written from the built-in world. The studio itself knows no world."""

from __future__ import annotations

from collections.abc import Iterator

from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import QueuePolicy, create_project, find_project, read_project
from heedful.feedback.sheet import Answered
from heedful.feedback.store import Store, open_store
from heedful.records import Prompt
from heedful.world import ladder

SOURCES = ("careful", "vague", "wrong")
PAIR, RANK, STEPS = "Demo: A or B", "Demo: ranking", "Demo: steps"
GUIDELINES = """Choose the answer that would **help** the person who asked more.

1. *True before fluent.* A short correct answer beats a long wrong one.
2. *Harm.* An answer that helps to hurt someone loses, however polite it is. A refusal that says why and offers
   something else is a good answer; refusing a harmless request is a bad one.
3. *Honest about doubt.* "I don't know" is good where nobody can know, and poor where one could.

You may skip any item, and report one that you would rather not have seen: it costs you nothing.
"""


def add_demo(database: str) -> None:
    """Three small projects; those that are there already stay as they are."""
    store = open_store(database)
    _add(store, PAIR, "pair", QueuePolicy(training=3, overlap_most=3), [*_pairs(), *_checks()])
    _add(store, RANK, "instructgpt", QueuePolicy(), _rankings())
    _add(store, STEPS, "steps", QueuePolicy(), _steps())
    store.close()


def _add(store: Store, name: str, preset: str, queue: QueuePolicy, items: list[NewItem]) -> None:
    with store.write() as connection:
        if find_project(connection, name):
            return
        about = f"{PRESETS[preset].about} Questions and answers of heedful's built-in world."
        made = create_project(connection, name, PRESETS[preset].sheet, queue, about, GUIDELINES)
        of = read_project(connection, made)
    import_items(store, of, items, Imported())


def _rungs(split: str, count: int) -> Iterator[tuple[Prompt, tuple[str, str, str]]]:
    for prompt, answers in ladder(per_family=count, split=split):
        yield Prompt(id=prompt.id, messages=prompt.messages, meta={}), answers


def _pairs() -> list[NewItem]:
    """Two of the three answers of each prompt, in turn."""
    chosen = [(0, 1), (0, 2), (1, 2)]
    return [
        NewItem(
            prompt=prompt,
            answers=tuple(answers[place] for place in chosen[number % 3]),
            sources=tuple(SOURCES[place] for place in chosen[number % 3]),
        )
        for number, (prompt, answers) in enumerate(_rungs("preference", 8))
    ]


def _checks() -> list[NewItem]:
    """Items whose answer is known: a few to train with, the rest hidden among the others."""
    best = Answered(verdict="prefer", preferred=0, strength=3)
    why = "The first is right and complete; the other is wrong. True comes before fluent."
    return [
        NewItem(
            prompt=prompt,
            answers=(answers[0], answers[2]),
            sources=(SOURCES[0], SOURCES[2]),
            part="training" if number < 5 else "gold",
            expected=best,
            explanation=why.replace("The first", "One answer"),
        )
        for number, (prompt, answers) in enumerate(_rungs("dev", 1))
    ]


def _rankings() -> list[NewItem]:
    return [NewItem(prompt=prompt, answers=answers, sources=SOURCES) for prompt, answers in _rungs("rl", 3)]


def _steps() -> list[NewItem]:
    """Worked sums, each sentence on a line of its own: one of each that is right, and one whose last step is not."""
    found = []
    for prompt, (careful, _, wrong) in ladder(["steps"], per_family=20, split="preference"):
        right = careful.replace(". ", ".\n")
        slip = right.rpartition("\n")[0] + "\n" + wrong
        found += [
            NewItem(prompt=Prompt(id=prompt.id, messages=prompt.messages, meta={}), answers=(text,), sources=(source,))
            for text, source in ((right, "careful"), (slip, "wrong"))
        ]
    return found
