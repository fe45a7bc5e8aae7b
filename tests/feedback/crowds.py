"""A simulated crowd with planted raters: what was meant is known, so that finding it can be checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.feedback.judgements import FIRST, SECOND
from heedful.feedback.votes import Votes


@dataclass(frozen=True)
class Planted:
    votes: Votes
    truth: NDArray[np.int64]  # (I,) FIRST or SECOND
    roles: tuple[str, ...]  # of the raters


def planted(
    seed: int,
    *,
    roles: tuple[str, ...],
    prompts: int = 60,
    answers: int = 4,
    overlap: int = 5,
    spread: float = 1.5,
) -> Planted:
    """Every pair of `answers` answers to each prompt, judged by `overlap` raters drawn at random.

    honest: Bradley-Terry on the answers' quality. careless: a coin. left: nine times of ten what lies left.
    length: mostly what is longer. colluder: all of them say the same, drawn once a pair by a coin.
    """
    rng = np.random.default_rng(seed)
    quality = rng.normal(0, spread, (prompts, answers))
    length = rng.integers(50, 500, prompts * answers).astype(float)
    i, j = np.triu_indices(answers, 1)
    first = (np.arange(prompts)[:, None] * answers + i).ravel()
    second = (np.arange(prompts)[:, None] * answers + j).ravel()
    items = len(first)
    gap = quality.ravel()[first] - quality.ravel()[second]
    agreed = rng.integers(0, 2, items)
    rows = []
    for item in range(items):
        for rater in rng.choice(len(roles), overlap, replace=False):
            left = int(rng.integers(0, 2))
            rows.append(
                (
                    item,
                    rater,
                    _says(rng, roles[rater], gap[item], left, agreed[item], length, item, first, second),
                    left,
                )
            )
    item_, rater_, choice, left_ = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Planted(
        votes=Votes(
            item=item_,
            rater=rater_,
            choice=choice,
            left=left_,
            at=np.arange(len(rows), dtype=float) + 1,
            strength=np.zeros(len(rows)),
            sheet=np.arange(len(rows)),
            first=first,
            second=second,
            group=first // answers,
            gold=np.full(items, -1),
            length=length,
            raters=tuple(f"{role}-{number}" for number, role in enumerate(roles)),
            kinds=("simulated",) * len(roles),
            prompts=tuple(str(n // answers) for n in first),
            names=tuple(str(n // answers) for n in first),
            texts=tuple(map(str, range(prompts * answers))),
        ),
        truth=np.where(gap > 0, FIRST, SECOND),
        roles=roles,
    )


def _says(
    rng: np.random.Generator,
    role: str,
    gap: float,
    left: int,
    agreed: int,
    length: NDArray[np.float64],
    item: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> int:
    match role:
        case "honest":
            return FIRST if rng.random() < 1 / (1 + np.exp(-gap)) else SECOND
        case "careless":
            return int(rng.integers(0, 2))
        case "left":
            return left if rng.random() < 0.9 else 1 - left
        case "length":
            longer = FIRST if length[first[item]] > length[second[item]] else SECOND
            return longer if rng.random() < 0.85 else 1 - longer
    assert role == "colluder"
    return int(agreed)


def majority(votes: Votes) -> NDArray[np.float64]:
    """P(first) by majority; a half where it is even."""
    counts = votes.counts()
    return np.asarray(0.5 + 0.5 * np.sign(counts[:, 0] - counts[:, 1]))
