"""Sequences end to end: positions, targets and boundaries by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heedful.data.packing import Example, groups_by_tokens, pack


def test_two_sequences_by_hand() -> None:
    batch = pack([Example((7, 8, 9), answer=2), Example((4, 5))])
    assert batch.input_ids.tolist() == [7, 8, 9, 4, 5]
    assert batch.position_ids.tolist() == [0, 1, 2, 0, 1]
    assert batch.lengths.tolist() == [3, 2]
    assert batch.targets.tolist() == [2, 4], "9 is the answer; a sequence's first token is never a target"
    assert batch.target_ids.tolist() == [9, 5]
    assert batch.target_lengths.tolist() == [1, 1]
    assert batch.ends.tolist() == [2, 4]
    assert batch.sequence_of_target.tolist() == [0, 1]


def test_an_example_without_an_answer_has_no_targets() -> None:
    assert pack([Example((1, 2), answer=2)]).targets.tolist() == []


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_targets_are_each_sequences_last_tokens(shapes: list[tuple[int, int]]) -> None:
    examples = [Example(tuple(range(size)), min(answer, size)) for size, answer in shapes]
    batch = pack(examples)
    expected = [i for e in examples for i in e.ids[max(1, e.answer) :]]
    assert batch.target_ids.tolist() == expected
    assert batch.target_lengths.tolist() == [e.targets for e in examples]
    assert batch.position_ids.tolist() == [i for e in examples for i in range(len(e.ids))]


def test_groups_stay_in_order_and_below_the_limit() -> None:
    assert groups_by_tokens([3, 4, 3, 20, 1, 9], 10) == [[0, 1, 2], [3], [4, 5]]
    assert groups_by_tokens([], 10) == []
