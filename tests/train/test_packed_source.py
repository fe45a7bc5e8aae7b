"""Packed steps: every example once an epoch, in an order that comes from seeds, the same from wherever it is asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heedful.config import Training
from heedful.data.packing import Example
from heedful.run import Run
from heedful.train.loop import Step
from heedful.train.source import PackedSource, cut


def examples(count: int = 40) -> list[Example]:
    lengths = np.random.default_rng(0).integers(2, 30, count)
    return [Example(tuple([index + 1] * int(n)), answer=1 + index % 2) for index, n in enumerate(lengths)]


def source(path: Path, share: tuple[int, int] = (0, 1), **training: float) -> PackedSource:
    run = Run(path, "sft", 0)
    settings = Training(**{"tokens_per_batch": 64} | training)
    return PackedSource(examples(), run, tokens_per_step=100, training=settings, share=share)


def members(step: Step) -> list[int]:
    """The examples of a step: each writes its own number."""
    return [int(token) for batch in step.batches for token in batch.input_ids[batch.ends]]


def test_every_example_once_an_epoch_in_another_order(tmp_path: Path) -> None:
    walk = source(tmp_path, epochs=2)
    steps = [members(step) for step in walk.steps(0)]
    assert len(steps) == walk.total_steps
    seen = [number for step in steps for number in step]
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(1, 41))
    assert first != second


def test_steps_are_of_one_size_and_batches_within_their_limit(tmp_path: Path) -> None:
    sizes = []
    for step in source(tmp_path).steps(0):
        assert all(len(batch.input_ids) <= 64 for batch in step.batches)
        assert step.count == sum(len(batch.targets) for batch in step.batches)
        sizes.append(sum(len(batch.input_ids) for batch in step.batches))
    mean = sum(sizes) / len(sizes)
    assert all(abs(size - mean) <= 30 for size in sizes)  # within the longest sequence


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7, 11])
def test_from_any_step_on_it_gives_what_an_unbroken_walk_gives(tmp_path: Path, start: int) -> None:
    whole = list(source(tmp_path, epochs=2).steps(0))
    rest = list(source(tmp_path, epochs=2).steps(start))
    assert len(whole) == len(rest) + start
    for one, other in zip(whole[start:], rest, strict=True):
        for mine, theirs in zip(one.batches, other.batches, strict=True):
            assert torch.equal(mine.input_ids, theirs.input_ids)
            assert torch.equal(mine.targets, theirs.targets)


def test_a_part_of_an_epoch_is_a_part_of_its_steps(tmp_path: Path) -> None:
    one, half, more = (source(tmp_path, epochs=epochs).total_steps for epochs in (1, 0.5, 1.5))
    assert half == round(one / 2)
    assert more >= one + half - 1
    assert source(tmp_path, epochs=0.001).total_steps == 1


def test_processes_share_each_step(tmp_path: Path) -> None:
    whole = list(source(tmp_path).steps(0))
    shares = [list(source(tmp_path, share=(rank, 2)).steps(0)) for rank in range(2)]
    for one, first, second in zip(whole, *shares, strict=True):
        assert Counter(members(one)) == Counter(members(first)) + Counter(members(second))
        assert one.count == first.count + second.count


def test_a_process_without_a_sequence_gets_one_without_targets(tmp_path: Path) -> None:
    run = Run(tmp_path, "sft", 0)
    alone = PackedSource([Example((1, 2, 3))], run, tokens_per_step=64, training=Training(), share=(1, 2))
    (step,) = alone.steps(0)
    assert step.count == 0
    assert [len(batch.targets) for batch in step.batches] == [0]


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        PackedSource([Example((1,))], Run(tmp_path, "sft", 0), tokens_per_step=64, training=Training())


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(64, 500))
def test_cut_keeps_all_in_order_and_no_step_is_a_small_rest(lengths: list[int], tokens: int) -> None:
    steps = cut(np.array(lengths), tokens)
    assert [int(i) for step in steps for i in step] == list(range(len(lengths)))
    assert all(len(step) for step in steps)
    wanted = max(1, round(sum(lengths) / tokens))
    assert len(steps) <= wanted
    size = sum(lengths) / wanted
    if len(steps) > 1:
        assert all(sum(lengths[int(i)] for i in step) >= size - max(lengths) for step in steps)
