"""Rankings as packed pairs: every answer once, every prompt weighs 1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.packing import Example
from heedful.data.pairs import apart, by_answers, fitting, pack_pairs, rank_examples
from heedful.errors import InputError
from heedful.records import Message, Messages, Prompt, Ranking, to_row


class Letters:
    """A chat whose tokens are letters: the prompt's, then the answer's, then 0."""

    def example(self, messages: Messages, completion: str) -> Example:
        prompt = [ord(c) for m in messages for c in m.content]
        return Example((*prompt, *(ord(c) for c in completion), 0), answer=len(prompt))


def ranking(texts: tuple[str, ...], ranks: tuple[int, ...], margins: tuple[float, ...] = ()) -> Ranking:
    prompt = Prompt(id="p", messages=(Message("user", "ab"),))
    return Ranking(prompt=prompt, completions=texts, ranks=ranks, rater="r", rater_kind="human", margins=margins)


def test_each_answer_is_packed_once_and_pairs_point_at_it() -> None:
    batch = pack_pairs([rank_examples(Letters(), [ranking(("x", "yy", "zzz"), (1, 0, 2))])])
    assert batch.packed.lengths.tolist() == [4, 5, 6]
    assert list(zip(batch.chosen.tolist(), batch.rejected.tolist(), strict=True)) == [(1, 0), (0, 2), (1, 2)]
    assert batch.target.tolist() == [1.0, 1.0, 1.0]
    assert batch.weight.tolist() == pytest.approx([1 / 3] * 3)


def test_a_second_ranking_points_at_its_own_answers() -> None:
    chat = Letters()
    first, second = ranking(("x", "y"), (0, 1)), ranking(("u", "v"), (1, 0))
    batch = pack_pairs([rank_examples(chat, [first]), rank_examples(chat, [second])])
    assert batch.chosen.tolist() == [0, 3] and batch.rejected.tolist() == [1, 2]
    assert batch.weight.tolist() == [1.0, 1.0]
    assert batch.packed.input_ids[batch.packed.ends].tolist() == [0, 0, 0, 0]  # every sequence ends with its end token


def test_ties_are_halves_without_margin() -> None:
    item = rank_examples(Letters(), [ranking(("x", "y", "z"), (0, 0, 1), margins=(0.3, 0.5, 0.7))])
    assert item.target == (0.5, 1.0, 1.0)
    assert item.margin == (0.0, 0.5, 0.7)


def test_without_ties_the_prompt_still_weighs_one() -> None:
    item = rank_examples(Letters(), [ranking(("x", "y", "z"), (0, 0, 1))]).without_ties()
    assert item.chosen == (0, 1) and item.rejected == (2, 2)
    assert pack_pairs([item]).weight.tolist() == [0.5, 0.5]
    assert len(item.examples) == 3


def test_a_ranking_with_an_overlong_answer_is_left_out_whole(tmp_path: Path) -> None:
    judged = [ranking(("x", "yyyyy"), (0, 1)), *[ranking(("x", "y"), (0, 1))] * 199]
    (path := tmp_path / "r.jsonl").write_text("".join(json.dumps(to_row(one)) + "\n" for one in judged))
    items = [rank_examples(Letters(), [one]) for one in judged]
    kept, sentence = fitting(items, 5, judged, [str(path)])
    assert kept == items[1:] and f"1 of 200 rankings ({path}:1)" in sentence


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=5), min_size=1, max_size=4))
def test_laws_of_packing(ranks: list[list[int]]) -> None:
    """All C(G,2) pairs, no pair across prompts, winners never ranked below losers, weights of a prompt sum to 1."""
    chat = Letters()
    items = [rank_examples(chat, [ranking(tuple("x" * (i + 1) for i in range(len(r))), tuple(r))]) for r in ranks]
    batch = pack_pairs(items)
    owner = [prompt for prompt, r in enumerate(ranks) for _ in r]
    flat = [rank for r in ranks for rank in r]
    assert len(batch.chosen) == sum(len(r) * (len(r) - 1) // 2 for r in ranks)
    total = [0.0] * len(ranks)
    for win, lose, target, weight in zip(
        batch.chosen.tolist(), batch.rejected.tolist(), batch.target.tolist(), batch.weight.tolist(), strict=True
    ):
        assert owner[win] == owner[lose] and win != lose
        assert flat[win] < flat[lose] if target == 1.0 else flat[win] == flat[lose]
        total[owner[win]] += weight
    assert total == pytest.approx([1.0] * len(ranks))


def test_raters_of_the_same_answers_are_read_in_one_pass() -> None:
    first, second = ranking(("x", "yy"), (0, 1)), ranking(("yy", "x"), (0, 1))
    other = ranking(("x", "yyy"), (0, 1))
    groups = by_answers([first, other, second])
    assert groups == [[first, second], [other]]
    item = rank_examples(Letters(), groups[0])
    assert len(item.examples) == 2
    assert (item.chosen, item.rejected) == ((0, 1), (1, 0))  # the two disagree: together the soft label 1/2
    assert pack_pairs([item]).weight.tolist() == [0.5, 0.5]  # the prompt still weighs 1


def test_a_rater_who_is_less_sure_weighs_less() -> None:
    """A pair weighs its judgement's weight; two raters' pairs on one set of answers share the prompt."""
    sure, unsure = ranking(("x", "yy"), (0, 1)), replace(ranking(("yy", "x"), (0, 1)), weight=0.25)
    item = rank_examples(Letters(), [sure, unsure])
    assert pack_pairs([item]).weight.tolist() == [0.5, 0.125]
    assert item.weight == 0.625
    alone = rank_examples(Letters(), [replace(ranking(("x", "y", "z"), (0, 1, 2)), weight=0.5)])
    assert pack_pairs([alone]).weight.sum().item() == pytest.approx(0.5) and alone.weight == 0.5


def test_answers_that_stand_twice_in_a_ranking_are_not_merged() -> None:
    twice = ranking(("x", "x"), (0, 1))
    assert by_answers([twice, twice]) == [[twice], [twice]]


def test_prompts_that_are_held_out_are_never_trained_on() -> None:
    held, other = ranking(("x", "yy"), (0, 1)), ranking(("x", "yy"), (0, 1))
    other = replace(other, prompt=replace(other.prompt, messages=(Message("user", "cd"),)))  # of the same id
    assert apart([held, other], [held]) == (
        [other],
        "1 rankings left out of training: their prompts are among the held-out ones",
    )
    assert apart([other], [held]) == ([other], "")
    with pytest.raises(InputError, match="every prompt is held out: of 1 rankings nothing is left to train on"):
        apart([replace(held, prompt=replace(held.prompt, id="renamed"))], [held])
    assert by_answers([held, other]) == [[held], [other]]
