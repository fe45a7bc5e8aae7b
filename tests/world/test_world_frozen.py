"""Gold, splits and texts of the world are frozen: figures that were measured by them stay comparable.

Whoever changes one of these digests on purpose says so in CHANGELOG.md: no figure from before compares with one after.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path

from heedful.config import WorldConfig
from heedful.run import Run, digest
from heedful.stages.world import world
from heedful.world import FAMILIES, GoldJudge, demo_answer, ideal_answer, vague_answer, web_answer, wrong_answer
from heedful.world.splits import assignment, pool

FILES = "b6d5bcd85476f690"
GOLD = "a34cca6593ae3618"
SPLITS = "8e18bc3044010b35"


def hash_of(lines: Iterable[object]) -> str:
    return hashlib.sha256("".join(f"{json.dumps(line)}\n" for line in lines).encode()).hexdigest()[:16]


def test_what_a_seed_writes(tmp_path: Path) -> None:
    counts = {"preference_prompts": 60, "rl_prompts": 40, "dev_prompts": 30, "test_prompts": 40}
    world(WorldConfig(documents=200, demonstrations=30, **counts), Run(tmp_path, "world", seed=0))
    (tmp_path / "world.json").unlink()  # holds a digest of the code, comments and all
    assert digest(tmp_path)[:16] == FILES


def test_what_gold_says() -> None:
    gold, rng, said = GoldJudge(), random.Random(0), []
    for family in sorted(FAMILIES):
        for prompt in random.Random(family).sample(pool("test")[family], 8):
            ideal = ideal_answer(prompt)
            texts = [write(prompt, rng) for write in (demo_answer, vague_answer, web_answer, wrong_answer)]
            for text in (ideal, *texts, f"Great question! {ideal} {ideal}", "I can't help with that.", ""):
                score = gold.score(prompt, text)
                criteria = {name: round(value, 9) for name, value in sorted(score.criteria.items())}
                said.append([family, round(score.total, 9), criteria, sorted(score.flags), score.outcome])
    assert hash_of(said) == GOLD


def test_who_gets_which_fact() -> None:
    assert hash_of(sorted((str(owner), split) for owner, split in assignment().items())) == SPLITS
