"""Answers judged one by one, as tokens: what unpaired losses train on. Rankings are split into such labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.batches import LabelBatch
from heedful.data.packing import Example, pack
from heedful.data.pairs import Tokenises
from heedful.errors import InputError
from heedful.records import Labelled, Messages, Ranking


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """The answers to one prompt as tokens (G), each once, and how much speaks for and against each."""

    prompt: Messages
    texts: tuple[str, ...]
    examples: tuple[Example, ...]
    desirable: tuple[float, ...]
    undesirable: tuple[float, ...]

    @property
    def tokens(self) -> int:
        return sum(len(example.ids) for example in self.examples)

    @property
    def weight(self) -> float:
        """What all labels weigh together."""
        return sum(self.desirable) + sum(self.undesirable)


def split(judgements: Iterable[Labelled | Ranking]) -> Iterator[Labelled]:
    """Labels as they are, rankings as the labels that their decided pairs give."""
    for judgement in judgements:
        if isinstance(judgement, Ranking):
            yield from judgement.labels()
        else:
            yield judgement


def label_examples(chat: Tokenises, labels: Iterable[Labelled]) -> list[LabelledExamples]:
    """One entry a prompt, in order of first sight. Labels of one text add up, also where raters disagree."""
    weights: dict[Messages, dict[str, list[float]]] = {}
    for label in labels:
        of_text = weights.setdefault(label.prompt.messages, {}).setdefault(label.completion, [0.0, 0.0])
        of_text[0 if label.label else 1] += label.weight
    return [
        LabelledExamples(
            prompt=prompt,
            texts=tuple(texts),
            examples=tuple(chat.example(prompt, text) for text in texts),
            desirable=tuple(wanted for wanted, _ in texts.values()),
            undesirable=tuple(unwanted for _, unwanted in texts.values()),
        )
        for prompt, texts in weights.items()
    ]


def wanted_share(items: Sequence[LabelledExamples]) -> float:
    """The share of the labels' weight that wants its answer. InputError: all do, or none."""
    wanted = sum(sum(item.desirable) for item in items) / (sum(item.weight for item in items) or 1.0)
    if not 0 < wanted < 1:
        said = "true" if wanted else "false"
        raise InputError(
            f"every label is {said}: losses on single labels tell wanted answers from unwanted ones; add some of the "
            "other kind" + (", or imitate these with sft" if wanted else "")
        )
    return wanted


def mismatched(
    chat: Tokenises, items: Sequence[LabelledExamples], order: Sequence[int], context: int
) -> list[tuple[Example, ...]]:
    """For each prompt an answer to another one: of the next in `order` whose answer fits; none where no other fits.

    InputError: no prompt has one, as where there is only one prompt.
    """
    found: list[tuple[Example, ...]] = [()] * len(items)
    for place, index in enumerate(order):
        others = (items[order[(place + step) % len(order)]] for step in range(1, len(order)))
        pairs = (chat.example(items[index].prompt, other.texts[0]) for other in others)
        found[index] = tuple(next(([pair] for pair in pairs if len(pair.ids) <= context), []))
    if not any(found):
        raise InputError(
            f"{len(items)} prompts give no prompt with another prompt's answer, against which KTO measures drift: "
            "give labels on several prompts, or use bco"
        )
    return found


def pack_labels(items: Sequence[LabelledExamples], reference: Tensor) -> LabelBatch:
    """The answers of several prompts as one batch, with the reference's log-probability of each target. (N,)"""
    return LabelBatch(
        packed=pack([example for item in items for example in item.examples]),
        reference=reference,
        desirable=torch.tensor([weight for item in items for weight in item.desirable], dtype=torch.float32),
        undesirable=torch.tensor([weight for item in items for weight in item.undesirable], dtype=torch.float32),
        baseline=torch.zeros(()),
    )
