"""Candidates: equal texts once, and borrowed answers that are marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heedful.data.candidates import borrow, by_family, gather
from heedful.records import Completion, Message, Prompt


def completion(prompt: str, text: str, policy: str = "sft", family: str = "f") -> Completion:
    asked = Prompt(id=prompt, messages=(Message("user", prompt),), meta={"family": family})
    return Completion(prompt=asked, text=text, policy=policy)


def test_prompts_keep_their_order_and_equal_texts_stand_once() -> None:
    pool = gather(
        [completion("2", "x"), completion("1", "y"), completion("2", "x", "base"), completion("2", "z", "base")]
    )
    assert [c.prompt.id for c in pool] == ["2", "1"]
    assert pool[0].texts == ("x", "z") and pool[0].sources == ("sft", "base")


def test_two_files_that_call_their_first_prompt_1_stay_apart() -> None:
    one, other = completion("Why?", "x"), completion("How?", "x", "base")
    pool = gather([replace(given, prompt=replace(given.prompt, id="1")) for given in (one, other, one)])
    assert [(c.prompt.messages[0].content, c.texts, c.sources) for c in pool] == [
        ("Why?", ("x",), ("sft",)),
        ("How?", ("x",), ("base",)),
    ]


def test_borrowed_answers_are_others_and_marked() -> None:
    pool = gather([completion(str(i), f"text {i}") for i in range(20)])
    families = by_family(pool)
    for index, own in enumerate(pool):
        taken = borrow(own, pool, families, 3, np.random.default_rng(index))
        assert taken.texts[0] == f"text {index}" and len(set(taken.texts)) == len(taken.texts)
        assert all(source == "borrowed:sft" for source in taken.sources[1:])
        assert len(taken.texts) > 1


def test_half_of_what_is_borrowed_is_kin() -> None:
    pool = gather([completion(str(i), f"text {i}", family="odd" if i % 10 == 0 else "even") for i in range(200)])
    families = by_family(pool)
    kin = [text for i in range(0, 200, 10) for seed in range(20) for text in
           borrow(pool[i], pool, families, 1, np.random.default_rng([i, seed])).texts[1:]]  # fmt: skip
    share = sum(int(text.split()[1]) % 10 == 0 for text in kin) / len(kin)
    assert 0.45 < share < 0.65  # ½ by kinship, a twentieth by chance, less its own answer


def test_a_single_prompt_has_no_one_to_borrow_from() -> None:
    pool = gather([completion("1", "x")])
    assert borrow(pool[0], pool, by_family(pool), 4, np.random.default_rng(0)) == pool[0]
