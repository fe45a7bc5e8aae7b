"""The world in tables, as Markdown: criteria, fault rates, raters, splits. `python -m heedful.world` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.world.build import available
from heedful.world.draws import at_most, lookalikes
from heedful.world.gold import COSTS, FLOOR, MESS, REPEAT, STRAY, SUBSTANCE, WEIGHTS
from heedful.world.raters import CARELESS, SIZE, TASTES, TEMPERATURE
from heedful.world.rates import CORPUS_MIX, DEMO, LEFT_OUT, PROMPT_MIX, WEB


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def gold_table() -> str:
    rows: list[tuple[object, ...]] = [("substance of outcome", name, value) for name, value in SUBSTANCE.items()]
    rows.append(("substance of outcome", "partial", "its correctness"))
    rows += [("weight in style", name, value) for name, value in WEIGHTS.items()]
    rows += [("cost in clarity", name, value) for name, value in COSTS.items()]
    rows += [("cost in clarity", "any other stray sentence", STRAY), ("cost in clarity", "a sentence again", REPEAT)]
    rows.append(("floor", "share of substance that no style takes", FLOOR))
    rows.append(("mess", "share of the total that goes with all clarity", MESS))
    return _table(("part", "name", "value"), rows)


def rates_table() -> str:
    rows: list[tuple[object, ...]] = [(f"wrong: {name}", web, DEMO.wrong[name]) for name, web in WEB.wrong.items()]
    for name in ("vague", "support", "flattery", "filler", "confident", "caveat", "habit", "plain_tone", "unnumbered"):
        rows.append((name, getattr(WEB, name), getattr(DEMO, name)))
    for name in (LEFT_OUT, "steps"):
        rows.append((f"support: {name}", WEB.parts[name], DEMO.parts[name]))
    return _table(("rate", "web", "demonstrations"), rows)


def raters_table() -> str:
    rows: list[tuple[object, ...]] = [(name, mean, spread) for name, (mean, spread) in TASTES.items()]
    table = _table(("taste", "mean", "spread"), rows)
    return f"{table}\n\n{SIZE} raters a group, temperature {TEMPERATURE}, the careless one's times {CARELESS:g}."


def counts_table() -> str:
    counts = available()
    rows: list[tuple[object, ...]] = []
    for family in PROMPT_MIX:
        held = [counts[split].get(family, 0) for split in counts]
        rows.append((family, *held, f"{CORPUS_MIX[family]:.2f}", f"{PROMPT_MIX[family]:.2f}"))
    rows.append(("all", *(sum(held.values()) for held in counts.values()), "", ""))
    rows.append(("all that can be drawn, buckets alike", *map(at_most, counts), "", ""))
    return _table(("family", *counts, "share of pages", "share of prompts"), rows)


def describe() -> str:
    """All tables, each under its heading."""
    parts = {
        "Gold": gold_table(),
        "Fault rates": rates_table(),
        "Simulated raters": raters_table(),
        "Distinct prompts that each split holds": counts_table(),
    }
    known = "\n\n".join(f"### {title}\n\n{table}" for title, table in parts.items())
    return f"{known}\n\nLook-alikes in the test split: {len(lookalikes(1000))} and more can be drawn.\n"
