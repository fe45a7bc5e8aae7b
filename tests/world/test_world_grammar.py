"""What the world writes it can read, and it reads nothing else."""

import random

from hypothesis import given
from hypothesis import strategies as st

from heedful.world import GoldJudge, showcase
from heedful.world.corpus import Pages
from heedful.world.families import GRAMMAR
from heedful.world.grammar import Grammar, Pattern, split_sentences


def test_a_pattern_reads_what_it_writes() -> None:
    pattern = Pattern("sum", "{a} + {b} = {c}.")
    (move,) = Grammar([pattern]).parse(pattern.write(a="2", b="3", c="5"))
    assert (move.kind, move.args) == ("sum", {"a": "2", "b": "3", "c": "5"})


def test_lists_are_split_at_their_numbers() -> None:
    assert split_sentences("1. Mix it. 2. Bake it! 3 + 4 = 7. 3. Done.") == [
        "step 1 Mix it", "step 2 Bake it", "3 + 4 = 7", "step 3 Done",
    ]  # fmt: skip
    assert GRAMMAR.parse("2. Put the pie in a hot oven.")[0].number == 2


def test_every_page_can_be_read() -> None:
    rng, pages = random.Random(0), Pages()
    for _ in range(2000):
        for message in pages.page(rng):
            if message.role == "assistant":
                assert "unknown" not in {move.kind for move in GRAMMAR.parse(message.content)}, message.content


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    for prompt in showcase():
        assert 0 <= GoldJudge().score(prompt, text).total <= 1
