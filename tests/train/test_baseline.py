"""The baselines of losses on single labels, against values worked by hand on a policy that is a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan, nan
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.batches import LabelBatch, PackedBatch
from heedful.data.labels import LabelledExamples, pack_labels
from heedful.data.packing import Example
from heedful.models.heads import Policy
from heedful.run import Run
from heedful.train.baseline import BaselineSource, drift, halfway
from heedful.train.pair_source import PairSource


class Table:
    """Token i has log-probability −i."""

    def __call__(self, batch: PackedBatch) -> Tensor:
        return -batch.target_ids.float()


POLICY = cast(Policy, Table())


@pytest.fixture(scope="module")
def alone() -> Accelerator:
    return Accelerator(cpu=True)


def example(*tokens: int) -> Example:
    return Example((0, *tokens))


def item(answers: dict[tuple[int, ...], tuple[float, float]]) -> LabelledExamples:
    """Answers by their tokens, and how much wants each and doesn't."""
    wanted, unwanted = zip(*answers.values(), strict=True)
    return LabelledExamples(
        prompt=(),
        texts=tuple(map(str, answers)),
        examples=tuple(example(*tokens) for tokens in answers),
        desirable=wanted,
        undesirable=unwanted,
    )


def test_drift_is_the_mean_log_ratio_of_whole_answers_and_never_negative(alone: Accelerator) -> None:
    """Policy −3 and −5, reference −7 and −6: drifts of 4 and 1."""
    pairs: list[tuple[Example, ...]] = [(example(1, 2),), (), (example(5),)]
    reference = [torch.tensor([-3.0, -4.0]), torch.tensor([-6.0])]
    found = drift(POLICY, pairs, reference, tokens=64, accelerator=alone)
    assert found([0, 1, 2]) == pytest.approx(2.5)
    assert found([2]) == pytest.approx(1.0)
    assert isnan(found([1]))
    below = drift(POLICY, pairs, [torch.tensor([-1.0, -1.0]), torch.tensor([-6.0])], tokens=64, accelerator=alone)
    assert below([0]) == 0.0


def test_halfway_lies_between_the_mean_rewards_of_wanted_and_unwanted_answers(alone: Accelerator) -> None:
    """Log-ratios 1, 2 and −3; wanted (1 + ½ · 2)/1.5, unwanted (½ · 2 − 3)/1.5."""
    items = [item({(1, 2): (1.0, 0.0), (4,): (0.5, 0.5)}), item({(7,): (0.0, 1.0)})]
    reference = [torch.tensor([-2.0, -2.0, -6.0]), torch.tensor([-4.0])]
    found = halfway(POLICY, items, reference, beta=0.1, tokens=64, accelerator=alone)
    assert found([0, 1]) == pytest.approx(0.5 * 0.1 * (2 / 1.5 - 2 / 1.5), abs=1e-6)
    assert found([0]) == pytest.approx(0.5 * 0.1 * (2 / 1.5 + 2))
    assert isnan(found([1]))  # nothing that is wanted


def source(tmp_path: Path, values: list[float], decay: float) -> BaselineSource:
    items = [item({(1,): (1.0, 0.0)}), item({(2,): (0.0, 1.0)})]
    told: Iterator[float] = iter(values)

    def make(members: Sequence[int]) -> LabelBatch:
        return pack_labels([items[i] for i in members], torch.zeros(len(members)))

    run = cast(Run, SimpleNamespace(rng=Run(tmp_path, "dpo", 0).rng))
    walk = PairSource([2, 2], make, run, prompts_per_step=2, tokens_per_batch=64, epochs=3)
    return BaselineSource(walk, lambda _: next(told), decay=decay)


def test_a_step_has_one_baseline_that_keeps_a_part_of_the_last(tmp_path: Path) -> None:
    """Half of what was, half of what is; what can't be told changes nothing."""
    walk = source(tmp_path, [2.0, nan, 4.0], decay=0.5)
    found = [[batch.baseline.item() for batch in step.batches] for step in walk.steps(0)]
    assert found == [[1.0], [1.0], [2.5]]
    again = source(tmp_path, [4.0], decay=0.5)
    again.load_state_dict({"baseline": 1.0})
    assert [step.batches[0].baseline.item() for step in again.steps(2)] == [2.5]
    assert again.state_dict() == {"baseline": 2.5} and again.total_steps == 3


def test_without_decay_it_is_the_steps_own(tmp_path: Path) -> None:
    told = iter([2.0, 3.0, 0.0])
    walk = BaselineSource(source(tmp_path, [], 0.0).walk, lambda _: next(told))
    assert [step.batches[0].baseline.item() for step in walk.steps(0)] == [2, 3, 0]
