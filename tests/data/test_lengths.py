"""What doesn't fit the context is counted and said, and past 1 % it stops the stage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.lengths import cut, drop_overlong, fitting_groups
from heedful.data.packing import Example
from heedful.errors import InputError


def example(length: int, answer: int = 1) -> Example:
    return Example(tuple(range(length)), answer)


def test_everything_fits_and_nothing_is_said() -> None:
    examples = [example(8), example(3)]
    assert drop_overlong(examples, 8, "demonstrations") == (examples, "")


def test_a_few_are_left_out_aloud() -> None:
    examples = [example(5)] * 100 + [example(12, answer=10), example(11, answer=2)] + [example(10)] * 100
    kept, sentence = drop_overlong(examples, 10, "demonstrations")
    assert len(kept) == 200
    assert "2 of 202 demonstrations (numbers 101, 102)" in sentence
    assert "1 by their prompt alone; the longest has 12 tokens" in sentence


def test_one_in_a_hundred_is_the_limit() -> None:
    drop_overlong([example(5)] * 99 + [example(9)], 8, "pages")
    with pytest.raises(InputError, match=r"2 of 100 pages .* at most 1% may be left out"):
        drop_overlong([example(5)] * 98 + [example(9)] * 2, 8, "pages")


def test_a_group_stands_or_falls_whole() -> None:
    groups = [[example(3), example(4)]] * 150 + [[example(3), example(20)]]
    kept, sentence = fitting_groups(groups, 10, "rankings")
    assert kept == list(range(150))
    assert "1 of 151 rankings (numbers 151)" in sentence


@given(st.integers(2, 9), st.lists(st.integers(1, 40), max_size=5))
def test_cutting_keeps_every_token_but_lone_last_ones(context: int, sizes: list[int]) -> None:
    for size in sizes:
        pieces = list(cut([example(size)], context))
        joined = [i for piece in pieces for i in piece.ids]
        lone = size % context == 1
        assert joined == list(range(size - lone))
        assert all(2 <= len(piece.ids) <= context for piece in pieces)
        assert all(piece.targets == len(piece.ids) - 1 for piece in pieces)
