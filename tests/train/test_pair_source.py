"""The walk over rankings: every ranking once an epoch, the same steps from any start, shares that add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from heedful.errors import InputError
from heedful.run import Run
from heedful.train.pair_source import PairSource


def source(
    tmp_path: Path, count: int = 10, per_step: int = 4, epochs: float = 1.0, share: tuple[int, int] = (0, 1)
) -> PairSource[list[int]]:
    def make(members: Sequence[int]) -> list[int]:
        return list(members)

    run = Run(tmp_path, "reward", 0)
    return PairSource(
        [10] * count, make, run, prompts_per_step=per_step, tokens_per_batch=20, epochs=epochs, share=share
    )


def members(walk: PairSource[list[int]], start: int = 0) -> list[list[int]]:
    return [[i for batch in step.batches for i in batch] for step in walk.steps(start)]


def test_an_epoch_holds_every_ranking_once_in_even_steps(tmp_path: Path) -> None:
    steps = members(source(tmp_path))
    assert sorted(i for step in steps for i in step) == list(range(10))
    assert sorted(map(len, steps)) == [3, 3, 4]


def test_epochs_differ_in_order_and_fractions_are_allowed(tmp_path: Path) -> None:
    walk = source(tmp_path, epochs=2.5)
    steps = members(walk)
    assert walk.total_steps == len(steps) == 8  # round(2.5 × 3)
    assert steps[:3] != steps[3:6]


def test_resuming_gives_the_steps_that_would_have_come(tmp_path: Path) -> None:
    assert members(source(tmp_path, epochs=3))[5:] == members(source(tmp_path, epochs=3), start=5)


def test_batches_hold_whole_rankings_within_the_token_limit(tmp_path: Path) -> None:
    step = next(source(tmp_path).steps(0))
    assert all(len(batch) <= 2 for batch in step.batches)
    assert step.count == sum(len(batch) for batch in step.batches)


def test_processes_share_each_step(tmp_path: Path) -> None:
    whole = members(source(tmp_path))
    shares = [members(source(tmp_path, share=(rank, 2))) for rank in range(2)]
    for step, mine, theirs in zip(whole, *shares, strict=True):
        assert sorted(mine + theirs) == sorted(step) and mine and theirs


def test_too_few_rankings_for_the_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="processes"):
        source(tmp_path, count=10, per_step=4, share=(0, 4))
