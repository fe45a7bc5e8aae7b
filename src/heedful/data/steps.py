"""Answers in steps: where each step ends among the tokens, so that right and wrong can be read there."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from heedful.batches import CorrectnessBatch
from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.records import Messages

SENTENCE = re.compile(r"(?<=[.!?])\s+")
Cut = Literal["lines", "sentences"]
JOINT = {"lines": "\n", "sentences": " "}


def steps_of(text: str, cut: Cut) -> tuple[str, ...]:
    """The steps of an answer: its lines, or its sentences; an empty answer is one empty step."""
    parts = text.split("\n") if cut == "lines" else SENTENCE.split(text)
    return tuple(part.strip() for part in parts if part.strip()) or ("",)


@dataclass(frozen=True, slots=True)
class StepExample:
    """An answer as tokens, and the position of each step's last token."""

    example: Example
    ends: tuple[int, ...]


def step_example(chat: Chat, messages: Messages, text: str, steps: Sequence[str]) -> StepExample:
    """Find the steps, in order, in the answer's text, and their ends among its tokens.

    The text is tokenised as a whole, as everywhere else; a step ends with the token that completes its last character.
    """
    example = chat.example(messages, text)
    answer = example.ids[example.answer :]
    if not chat.decode(answer).startswith(text):
        raise InputError(
            f"the tokenizer gives the answer {text[:40]!r} back as {chat.decode(answer)[:40]!r}, so its steps can't be "
            "found among its tokens: use a model whose tokenizer keeps texts as they are"
        )
    ends, begin = [], 0
    for step in steps:
        begin = text.index(step, begin) + len(step)
        written = text[:begin]
        tokens = bisect_left(range(len(answer)), True, key=lambda n: chat.decode(answer[:n]).startswith(written))
        ends.append(example.answer + max(1, tokens) - 1)
    return StepExample(example, tuple(ends))


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """An answer as tokens, the positions that carry a label, and the chance that what ends there is right."""

    example: Example
    at: tuple[int, ...]
    labels: tuple[float, ...]


def up_to_first_error(labels: Sequence[float]) -> int:
    """How many labels there are up to the first wrong one, that one among them."""
    return next((place + 1 for place, label in enumerate(labels) if label < 0.5), len(labels))


def pack_correctness(items: Sequence[LabelledExample]) -> CorrectnessBatch:
    """Several labelled answers as one batch; an answer's labels weigh 1 in all."""
    at: list[int] = []
    first = 0
    for item in items:
        at += [first + position for position in item.at]
        first += len(item.example.ids)
    return CorrectnessBatch(
        packed=pack([item.example for item in items]),
        at=torch.tensor(at, dtype=torch.long),
        label=torch.tensor([label for item in items for label in item.labels], dtype=torch.float32),
        weight=torch.tensor([1 / len(item.at) for item in items for _ in item.at], dtype=torch.float32),
    )
