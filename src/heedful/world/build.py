"""Builds the world from its settings and a seed.

Gold, fault rates and splits are frozen (see `World.digest`), and so are the dev and test prompts. The seed draws the
pages, the demonstrations and the prompts for preferences and RL.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from heedful.records import Demonstration, Messages, Prompt
from heedful.world.compose import demo_answer
from heedful.world.corpus import Pages
from heedful.world.draws import draw_split, lookalikes, showcase
from heedful.world.splits import assignment, pool

# The files that hold the rules: if one changes, results are those of another world.
RULES = (
    "grammar.py",
    "family.py",
    "phrases.py",
    "gold.py",
    "rates.py",
    "splits.py",
    "compose.py",
    "corpus.py",
    "draws.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """How much of everything. Rooms: see `World.counts` for how many distinct prompts there are."""

    documents: int = 45_000
    demonstrations: int = 500
    preference_prompts: int = 4_000
    rl_prompts: int = 2_000
    dev_prompts: int = 300
    test_prompts: int = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that the stages are given. `counts[split][family]` says how many distinct prompts were drawn.

    `lookalikes` are 1,000 harmless test prompts that sound like harm, for over-refusal; `showcase` is the seeds' table.
    """

    documents: list[Messages]
    heldout_documents: list[Messages]
    demonstrations: list[Demonstration]
    prompts: dict[str, list[Prompt]]
    showcase: list[Prompt]
    lookalikes: list[Prompt]
    counts: dict[str, dict[str, int]]
    digest: str
    settings: WorldSettings


def build(settings: WorldSettings, seed: int) -> World:
    """The world: the same settings and seed give the same world to the byte."""
    documents, heldout = _documents(settings.documents, seed)
    rng = random.Random(f"demonstrations/{seed}")
    shown = draw_split("sft", settings.demonstrations, rng)
    demonstrations = [Demonstration(prompt=prompt, completion=demo_answer(prompt, rng)) for prompt in shown]
    prompts = {
        "preference": draw_split("preference", settings.preference_prompts, random.Random(f"preference/{seed}")),
        "rl": draw_split("rl", settings.rl_prompts, random.Random(f"rl/{seed}")),
        "dev": draw_split("dev", settings.dev_prompts, random.Random("dev")),
        "test": draw_split("test", settings.test_prompts, random.Random("test")),
    }
    return World(
        documents=documents,
        heldout_documents=heldout,
        demonstrations=demonstrations,
        prompts=prompts,
        showcase=showcase(),
        lookalikes=lookalikes(),
        counts={"sft": _count(shown)} | {split: _count(drawn) for split, drawn in prompts.items()},
        digest=digest(),
        settings=settings,
    )


def _documents(count: int, seed: int) -> tuple[list[Messages], list[Messages]]:
    """Pages of the corpus, and pages held out of it for bits per byte (none stands in the corpus)."""
    pages, rng = Pages(), random.Random(f"documents/{seed}")
    documents = [pages.page(rng) for _ in range(count)]
    rng, known = random.Random("heldout"), set(documents)
    heldout: list[Messages] = []
    while len(heldout) < max(100, min(1000, count // 20)):
        page = pages.page(rng)
        if page not in known:
            heldout.append(page)
    return documents, heldout


def _count(prompts: list[Prompt]) -> dict[str, int]:
    counts = Counter(str(prompt.meta["family"]) for prompt in prompts)
    return dict(sorted(counts.items()))


def available() -> Mapping[str, Mapping[str, int]]:
    """How many distinct prompts each split holds of each family."""
    return {
        split: {family: len(found) for family, found in pool(split).items() if found}
        for split in ("sft", "preference", "rl", "dev", "test")
    }


def digest() -> str:
    """A hash of gold's rules, the fault rates and the splits."""
    found = hashlib.sha256()
    room = files("heedful.world")
    families = sorted(path.name for path in room.joinpath("families").iterdir() if path.name.endswith(".py"))
    for path in [*(room / name for name in RULES), *(room / "families" / name for name in families)]:
        found.update(path.read_bytes().replace(b"\r\n", b"\n"))
    for owner, split in sorted(assignment().items()):
        found.update(f"{owner}={split};".encode())
    return found.hexdigest()[:16]
