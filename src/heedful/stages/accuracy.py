"""How often reward models agree with judgements that they have not seen, side by side.

In iterated training this shows what each round is for: on answers of the current policy the last round's reward model
is out of its depth, and the one that was trained on their labels is less so. Policies of a direct loss are reward
models too: what they say more often than their reference they hold to be better.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from heedful.config import AccuracyConfig
from heedful.data.sources import read_completions, read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import AMONG_RATERS, Floats, Judged, gap_report, judged_pairs
from heedful.records import Prompt, Ranking, Row
from heedful.rewards.likelihood import Likelihood
from heedful.rewards.loading import load_reward
from heedful.run import Run, atomic_text

KEPT = (
    "accuracy", "low", "high", "pairs", "prompts", *AMONG_RATERS, "gold_on_labels", "gold_agreement", "length_only",
)  # fmt: skip
Asked = Sequence[tuple[Prompt, str]]


def accuracy(config: AccuracyConfig, run: Run) -> None:
    """Leaves accuracy.json: for each model its accuracy with an interval, beside what the labels allow.

    pairs.jsonl beside it has what every model says of every pair, from which each figure can be computed again.
    """
    rankings = read_rankings(config.data)
    judged = judged_pairs(rankings)
    counted = np.array(_among(config, rankings), dtype=bool)
    mask = counted[judged.first] & counted[judged.second] if len(judged.first) else np.zeros(0, dtype=bool)
    pairs = judged.where(mask)
    if not mask.any():
        which = f" whose answers stand in {', '.join(config.among)}" if config.among else ""
        raise InputError(f"{', '.join(config.data)}: holds no pair of answers{which}: there is nothing to compare")
    asked = [(ranking.prompt, text) for ranking in rankings for text in ranking.completions]
    start = _logprobs(config.reference, asked) if config.reference else np.zeros(len(asked))
    found, gaps = {}, {}
    for name, folder in config.models.items():
        values = _logprobs(folder, asked) - start if config.reference else _scores(folder, asked)
        gaps[name] = values[pairs.first] - values[pairs.second]
        report = gap_report(pairs, gaps[name], run.rng("report"))
        found[name] = {key: report[key] for key in KEPT if report.get(key) is not None}
    atomic_text(run.path / "accuracy.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    run.write_rows("pairs.jsonl", _rows(pairs, gaps))
    run.summary |= {"pairs": len(pairs.target), "accuracy": {name: row["accuracy"] for name, row in found.items()}}
    told = (f"{name} {row['accuracy']:.1%} [{row['low']:.1%}, {row['high']:.1%}]" for name, row in found.items())
    run.say(f"{len(pairs.target)} held-out pairs, right in: {', '.join(told)}")


def _scores(folder: str, asked: Asked) -> Floats:
    """What a reward model makes of every answer."""
    scores = load_reward(folder).score([prompt for prompt, _ in asked], [text for _, text in asked])
    return np.array([score.value for score in scores])


def _logprobs(folder: str, asked: Asked) -> Floats:
    """How likely a policy is to write every answer, in nats."""
    likelihood = Likelihood.load(folder)
    return np.array(likelihood([prompt for prompt, _ in asked], [text for _, text in asked], per_token=False))


def _rows(pairs: Judged, gaps: Mapping[str, Floats]) -> Iterator[Row]:
    """One row a pair: 1 as target where the first of its answers won, and how much better each model thinks it is."""
    for i, prompt in enumerate(pairs.prompt):
        row: dict[str, Any] = {"prompt": str(prompt), "target": float(pairs.target[i])}
        yield row | {"gaps": {name: float(gap[i]) for name, gap in gaps.items()}}


def _among(config: AccuracyConfig, rankings: list[Ranking]) -> list[bool]:
    """Of every answer of all rankings in order, whether it counts."""
    known = {(c.prompt.messages, c.text) for path in config.among for c in read_completions(path)}
    answers = [(ranking.prompt.messages, text) for ranking in rankings for text in ranking.completions]
    return [not config.among or answer in known for answer in answers]
