"""Several reward models and likelihoods as one reward: the weights that agree best with held-out judgements.

A head on the last token and a policy's log-probabilities err differently: together they are right more often.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.config import BlendConfig
from heedful.data.sources import read_rankings
from heedful.errors import InputError
from heedful.evaluate.reward_report import AMONG_RATERS, Judged, gap_report, judged_pairs, model_figures, sentence
from heedful.records import Ranking
from heedful.rewards import Reward
from heedful.rewards.blend import BlendReward, Fitted, bounds, fit_weights, open_part, save_blend
from heedful.run import Run, atomic_text
from heedful.stages.reward import first_samples, ladder_report, scale_of

SUMMARY = (
    "accuracy", "low", "high", *AMONG_RATERS, "gold_on_labels", "gold_agreement", "short_of_gold", "length_only",
)  # fmt: skip
Floats = NDArray[np.float64]


def blend(config: BlendConfig, run: Run) -> None:
    """Leaves model/ (blend.json: the parts, their weights and the scale) and reward.json, as a reward stage does."""
    rankings = read_rankings(config.data)
    pairs = judged_pairs(rankings)
    if len(np.unique(pairs.prompt)) < config.folds:
        raise InputError(
            f"{', '.join(config.data)}: compares answers to {len(np.unique(pairs.prompt))} prompts; give at least "
            f"{config.folds}, or fewer folds"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    opened = {name: open_part(part, device) for name, part in config.parts.items()}
    scores = _scores(opened, rankings)
    middle, spread = np.median(scores, axis=0), np.subtract(*np.quantile(scores, [0.75, 0.25], axis=0))
    if flat := [name for name, width in zip(opened, spread, strict=True) if width < 1e-9]:
        raise InputError(f"{config.parts[flat[0]].model}: says the same of most answers: leave part '{flat[0]}' out")
    scaled = (scores - middle) / spread
    scaled = np.stack([bounds(part)(scaled[:, k]) for k, part in enumerate(config.parts.values())], axis=1)
    differences = scaled[pairs.first] - scaled[pairs.second]  # (P, K)
    weights = fit_weights(differences, pairs.target)
    fitted = {
        name: Fitted(part, float(weights[k]), float(middle[k]), float(spread[k]))
        for k, (name, part) in enumerate(config.parts.items())
    }
    samples, together = first_samples(config.calibration), BlendReward(opened, fitted)
    scored = together.score([sample.prompt for sample in samples], [sample.text for sample in samples])
    affine = scale_of(samples, [score.value for score in scored], run)
    run.model.mkdir(parents=True, exist_ok=True)
    save_blend(run.model, fitted, affine)
    gap = _unseen(differences, pairs, config.folds, run.rng("folds"))
    report = gap_report(pairs, gap, run.rng("report"))
    report |= ladder_report(together, rankings, run)
    report["affine"] = {"mean": affine.mean, "std": affine.std}
    report["parts"] = {
        name: {"weight": one.weight, "accuracy": model_figures(pairs, differences[:, k])["accuracy"]}
        for k, (name, one) in enumerate(fitted.items())
    }
    atomic_text(run.path / "reward.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    run.summary |= {key: report[key] for key in SUMMARY if report.get(key) is not None}
    for name, row in report["parts"].items():
        run.say(f"{name}: accuracy {row['accuracy']:.1%} alone, weight {row['weight']:.3g}")
    run.say(f"together, on prompts that the weights were not fitted on: {sentence(report)}")


def _scores(opened: Mapping[str, Reward], rankings: Sequence[Ranking]) -> Floats:
    """What each part says of every answer of all rankings. (answers, K)"""
    asked = [(ranking.prompt, text) for ranking in rankings for text in ranking.completions]
    prompts, texts = [prompt for prompt, _ in asked], [text for _, text in asked]
    return np.array([[one.value for one in part.score(prompts, texts)] for part in opened.values()]).T


def _unseen(differences: Floats, pairs: Judged, folds: int, rng: np.random.Generator) -> Floats:
    """Each pair's log-odds by weights that were fitted without its prompt. (P,)"""
    prompts, number = np.unique(pairs.prompt, return_inverse=True)
    fold = rng.permutation(np.arange(len(prompts)) % folds)[number]
    gap = np.zeros(len(differences))
    for k in range(folds):
        gap[fold == k] = differences[fold == k] @ fit_weights(differences[fold != k], pairs.target[fold != k])
    return gap
