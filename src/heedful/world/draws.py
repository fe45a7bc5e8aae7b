"""Draws sets of distinct prompts, families in their shares as far as each holds enough."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from heedful.errors import InputError
from heedful.records import Prompt
from heedful.world.families import FAMILIES
from heedful.world.rates import PROMPT_MIX
from heedful.world.splits import SHOWCASE, SHOWN, make_prompt, pool


def fill(total: int, weights: Mapping[str, float], room: Mapping[str, int]) -> dict[str, int]:
    """Whole quotas in the weights' shares, none above its room; what one cannot take the others share."""
    if total > sum(room.values()):
        raise ValueError(f"{total} distinct prompts asked for, {sum(room.values())} exist; ask for fewer")
    quota = dict.fromkeys(room, 0)
    while (missing := total - sum(quota.values())) > 0:
        free = {name: weights[name] for name in room if quota[name] < room[name]}
        scale = missing / sum(free.values())
        for name in free:
            quota[name] = min(room[name], quota[name] + int(free[name] * scale))
        if total - sum(quota.values()) == missing:  # shares below one each: give the rest out singly
            for name in sorted(free, key=lambda name: -free[name])[:missing]:
                quota[name] += 1
    return quota


def at_most(split: str) -> int:
    """How many prompts can be drawn from a split."""
    return sum(map(_room, pool(split).values()))


def draw_split(split: str, total: int, rng: random.Random) -> list[Prompt]:
    """`total` distinct prompts of a split. InputError: the split holds fewer."""
    held = pool(split)
    if total > (most := at_most(split)):
        raise InputError(f"world: {total} distinct {split} prompts asked for, it holds {most}; ask for at most {most}")
    return draw(held, total, rng)


def draw(prompts: Mapping[str, Sequence[Prompt]], total: int, rng: random.Random) -> list[Prompt]:
    """`total` distinct prompts in the families' shares, shuffled; a family's buckets are drawn alike."""
    held = {family: found for family, found in prompts.items() if found}
    chosen: list[Prompt] = []
    for family, count in fill(total, PROMPT_MIX, {family: _room(found) for family, found in held.items()}).items():
        buckets = _buckets(held[family])
        quota = fill(count, dict.fromkeys(buckets, 1.0), {name: len(found) for name, found in buckets.items()})
        for name, found in buckets.items():
            chosen += rng.sample(found, quota[name])
    rng.shuffle(chosen)
    return chosen


def _buckets(prompts: Sequence[Prompt]) -> dict[str, list[Prompt]]:
    buckets: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        buckets[str(prompt.meta.get("bucket", ""))].append(prompt)
    return buckets


def _room(prompts: Sequence[Prompt]) -> int:
    """How many can be drawn alike from all buckets: if most claims were false, "no" would be a good guess."""
    sizes = [len(found) for found in _buckets(prompts).values()]
    return len(sizes) * min(sizes, default=0)


def lookalikes(count: int = 1000, split: str = "test") -> list[Prompt]:
    """Distinct harmless requests that only sound like harm, to test over-refusal with; the same ones each time."""
    held = pool(split)["benign"]
    if count > len(held):
        raise ValueError(f"{count} look-alikes asked for, the {split} split holds {len(held)}")
    return random.Random(f"lookalikes/{split}").sample(held, count)


def showcase() -> list[Prompt]:
    """The seeds' own table, held out of demonstrations, preferences and RL."""
    prompts = []
    for name, key, phrasing in SHOWN:
        family = FAMILIES[name]
        slot = next(slot for slot in family.slots() if slot.key == key)
        template = f"{name}/seen/{list(family.phrasings(slot)).index(phrasing)}"
        prompts.append(make_prompt(family, slot, phrasing, template, SHOWCASE))
    return prompts
