"""An AI judge ranks the candidates: a reward model, or a Python function, which may ask any model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from heedful.config import JudgeLabels
from heedful.data.candidates import Candidates
from heedful.evaluate.reward_report import judged_pairs, label_figures
from heedful.records import Ranking
from heedful.rewards import Reward
from heedful.rewards.function import FunctionReward
from heedful.rewards.loading import load_reward
from heedful.run import Run


def ask_judge(by: JudgeLabels, usable: Sequence[Candidates], held: frozenset[int], run: Run) -> None:
    """Each prompt's candidates by what the judge says they are worth; leaves rankings.jsonl and heldout.jsonl.

    InputError: the model or the function is missing, fails, or gives no finite number.
    """
    judge, name = _open(by)
    training: list[Ranking] = []
    heldout: list[Ranking] = []
    with run.progress("label", len(usable)) as progress:
        for index, candidates in enumerate(usable):
            scores = judge.score([candidates.prompt] * len(candidates.texts), candidates.texts)
            ranking = Ranking(
                prompt=candidates.prompt,
                completions=candidates.texts,
                ranks=ranks_of([score.value for score in scores], by.tie),
                rater=name,
                rater_kind="ai",
                sources=candidates.sources,
            )
            (heldout if index in held else training).append(ranking)
            progress.advance()
            run.stopper.stop_if_asked()  # a function of the user's may catch everything
    run.write_records("rankings.jsonl", training)
    run.write_records("heldout.jsonl", heldout)
    run.summary |= {
        "rankings": len(training),
        "comparisons": sum(len(ranking.pairs()) for ranking in training),
        "raters": [name],
        "rater_kinds": ["ai"],
        "heldout": label_figures(judged_pairs(heldout)) if heldout else {},
    }
    run.say(f"{len(training)} rankings to train on, {len(heldout)} held out, by an AI judge ({name})")


def _open(by: JudgeLabels) -> tuple[Reward, str]:
    """The judge, and the name under which its labels stand."""
    if by.function:
        return FunctionReward.load(by.function), by.function
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_reward(by.model, device, affine=False), by.model


def ranks_of(worth: Sequence[float], tie: float) -> tuple[int, ...]:
    """Rank 0 is worth most; neighbours that differ by no more than `tie` share a rank."""
    order = sorted(range(len(worth)), key=lambda i: -worth[i])
    ranks = [0] * len(worth)
    for before, here in pairwise(order):
        ranks[here] = ranks[before] + int(worth[before] - worth[here] > tie)
    return tuple(ranks)
