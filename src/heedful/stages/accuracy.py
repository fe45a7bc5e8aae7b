"""How often reward models agree with judgements that they have not seen, side by side.

In iterated training this shows what each round is for: on answers of the current policy the last round's reward model
is out of its depth, and the one that was trained on their labels is less so.
"""

from __future__ import annotations

import json

import numpy as np

from heedful.config import AccuracyConfig
from heedful.data.sources import read_completions, read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import gap_report, judged_pairs
from heedful.records import Ranking
from heedful.rewards.loading import load_reward
from heedful.run import Run, atomic_text

KEPT = ("accuracy", "low", "high", "pairs", "prompts", "ceiling", "gold_on_labels", "gold_agreement", "length_only")


def accuracy(config: AccuracyConfig, run: Run) -> None:
    """Leaves accuracy.json: for each model its accuracy with an interval, beside what the labels allow."""
    rankings = read_rankings(config.data)
    judged = judged_pairs(rankings)
    counted = np.array(_among(config, rankings), dtype=bool)
    mask = counted[judged.first] & counted[judged.second] if len(judged.first) else np.zeros(0, dtype=bool)
    pairs = judged.where(mask)
    if not mask.any():
        which = f" whose answers stand in {', '.join(config.among)}" if config.among else ""
        raise InputError(f"{', '.join(config.data)}: holds no pair of answers{which}: there is nothing to compare")
    found = {}
    for name, folder in config.models.items():
        reward = load_reward(folder)
        asked = [(ranking.prompt, text) for ranking in rankings for text in ranking.completions]
        scores = reward.score([prompt for prompt, _ in asked], [text for _, text in asked])
        values = np.array([score.value for score in scores])
        report = gap_report(pairs, values[pairs.first] - values[pairs.second], run.rng("report"))
        found[name] = {key: report[key] for key in KEPT if report.get(key) is not None}
    atomic_text(run.path / "accuracy.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    run.summary |= {"pairs": len(pairs.target), "accuracy": {name: row["accuracy"] for name, row in found.items()}}
    told = (f"{name} {row['accuracy']:.1%} [{row['low']:.1%}, {row['high']:.1%}]" for name, row in found.items())
    run.say(f"{len(pairs.target)} held-out pairs, right in: {', '.join(told)}")


def _among(config: AccuracyConfig, rankings: list[Ranking]) -> list[bool]:
    """Of every answer of all rankings in order, whether it counts."""
    known = {(c.prompt.messages, c.text) for path in config.among for c in read_completions(path)}
    answers = [(ranking.prompt.messages, text) for ranking in rankings for text in ranking.completions]
    return [not config.among or answer in known for answer in answers]
