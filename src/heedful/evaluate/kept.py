"""What an evaluation leaves in its run: every answer with its scores, and where the prompts stand that were asked."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from heedful.config.paths import resolved_path
from heedful.data.sources import read_prompts
from heedful.errors import InputError
from heedful.evaluate.statistics import TwoWay
from heedful.evaluate.winrate import NOWHERE, outcomes, resamples_of
from heedful.records import Row
from heedful.run import console, stage_folders

Scores = dict[tuple[str, str], dict[str, list[float]]]  # (model, decoding) → prompt → scores of its draws


def answers_file(root: Path) -> Path:
    """Of the last evaluation, as is the run's evaluation.json. InputError: it is gone."""
    kept = [folder / "answers.jsonl" for folder in reversed(stage_folders(root).values())]
    file = next((path for path in [*kept, root / "answers.jsonl"] if path.exists()), None)
    if file is None:
        raise InputError(f"{root}: holds an evaluation.json, but its answers.jsonl is gone: evaluate again")
    return file


def kept_answers(root: Path) -> Iterator[Row]:
    """Every answer; those to prompts of the group that no headline counts left out."""
    with answers_file(root).open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row.get("group") != NOWHERE:
                yield row


def kept_scores(root: Path, judge: str) -> Scores:
    """What a judge made of every answer."""
    found: Scores = defaultdict(lambda: defaultdict(list))
    for row in kept_answers(root):
        if judge in row["scores"]:
            found[row["model"], row["decoding"]][row["id"]].append(row["scores"][judge])
    return found


def prompt_rates(scores: Scores, policy: str, against: str, decoding: str) -> dict[str, float]:
    """Prompt → the share of pairs of draws that the policy wins, a tie counted half."""
    ours, theirs = scores[policy, decoding], scores[against, decoding]
    if not ours:
        return {}
    table = outcomes(np.array(list(ours.values())), np.array([theirs[prompt] for prompt in ours]))
    return dict(zip(ours, table.mean((1, 2)).tolist(), strict=True))


def kept_resamples(root: Path, asked: Sequence[str], rng: np.random.Generator) -> TwoWay:
    """Resamples of the prompts, clustered on template and slot as their file says; each by itself where it is gone."""
    path = _prompts_file(root)
    known = {prompt.id: prompt for prompt in read_prompts(str(path))} if path.is_file() else {}
    if not set(asked) <= set(known):
        console.print(
            f"{root}: its prompts are not in '{path}' any more, so that intervals take each of them by itself",
            highlight=False,
        )
        return TwoWay(asked, asked, rng)
    return resamples_of([known[key] for key in asked], rng)


def _prompts_file(root: Path) -> Path:
    config, recipe = answers_file(root).parent / "config.toml", root / "recipe.toml"
    named = str(_read(config).get("prompts", ""))
    with suppress(InputError):  # the stage or the input that it names may be gone
        named = resolved_path(named, stage_folders(root), _read(recipe).get("inputs", {}))
    return Path(named)


def _read(path: Path) -> Row:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
