"""Token sequences through a network in packed batches, for rewards: equal ones once, like beginnings together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from heedful.data.packing import Example, alike_together, groups_by_tokens
from heedful.errors import InputError

TOKENS_PER_BATCH = 16384
OVERHANG = 8  # tokens
V = TypeVar("V")


def in_batches(examples: Sequence[Example], score: Callable[[list[Example]], list[V]]) -> list[V]:
    """What `score` says of each sequence, in order. Equal ones are read once; those that begin alike share a batch."""
    place: dict[Example, int] = {}
    where = [place.setdefault(example, len(place)) for example in examples]
    texts = list(place)
    order = alike_together([text.ids for text in texts])
    found: dict[int, V] = {}
    for group in groups_by_tokens([len(texts[i].ids) for i in order], TOKENS_PER_BATCH):
        members = [order[position] for position in group]
        found |= zip(members, score([texts[i] for i in members]), strict=True)
    return [found[index] for index in where]


def without_overhang(example: Example, context: int) -> Example:
    """An answer that the policy's context cut is a little longer here: by the end that it did not write, and by the
    bytes of a broken character. One of which nothing would be left stays whole, and is refused."""
    fits = len(example.ids) <= context
    short = len(example.ids) <= context + OVERHANG and example.answer < context
    return Example(example.ids[:context], example.answer) if short and not fits else example


def refuse_overlong(examples: Sequence[Example], context: int) -> None:
    """InputError where a sequence is longer than the model reads."""
    longest = max((len(example.ids) for example in examples), default=0)
    if longest > context:
        raise InputError(
            f"a model that scores answers reads {context} tokens and was given {longest}: shorten the prompts, "
            "lower max_new_tokens, or score with a model of longer context"
        )
