"""Rankings as packed pairs: what reward models and the DPO family train on.

Each answer of a ranking is packed once, and all C(G,2) pairs of a prompt stand in one batch, so that no answer is read
twice in one pass: pairs of one prompt spread over several steps overfit within an epoch (Ouyang 2022, section 3.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch

from heedful.batches import PairBatch
from heedful.data.lengths import fitting_groups
from heedful.data.packing import Example, pack
from heedful.errors import InputError
from heedful.records import Messages, Prompt, Ranking


class Tokenises(Protocol):
    """The one method of `Chat` that pairs need."""

    def example(self, messages: Messages, completion: str) -> Example: ...


@dataclass(frozen=True, slots=True)
class RankedExamples:
    """The answers to one prompt as tokens (G), and all judgements of them as indices into them (P pairs)."""

    examples: tuple[Example, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    target: tuple[float, ...]
    margin: tuple[float, ...]
    weights: tuple[float, ...]  # how much each judgement counts; 1 where nobody said

    @property
    def tokens(self) -> int:
        return sum(len(example.ids) for example in self.examples)

    @property
    def weight(self) -> float:
        """What all pairs weigh together: their mean weight, so 1 however many they are."""
        return sum(self.weights) / len(self.weights)

    def without_ties(self) -> RankedExamples:
        """The decided pairs only; each then weighs more, so that the prompt still weighs 1."""
        keep = [i for i, target in enumerate(self.target) if target != 0.5]
        return replace(
            self,
            chosen=tuple(self.chosen[i] for i in keep),
            rejected=tuple(self.rejected[i] for i in keep),
            target=tuple(self.target[i] for i in keep),
            margin=tuple(self.margin[i] for i in keep),
            weights=tuple(self.weights[i] for i in keep),
        )


class Asked(Protocol):
    """A judgement of answers to a prompt."""

    @property
    def prompt(self) -> Prompt: ...


J = TypeVar("J", bound=Asked)


def apart(training: Sequence[J], heldout: Sequence[J], what: str = "rankings") -> tuple[list[J], str]:
    """The training judgements of prompts that are not held out, and a sentence about the others ("" for none).

    InputError: every prompt is held out.
    """
    kept_out = {judgement.prompt.messages for judgement in heldout}
    kept = [judgement for judgement in training if judgement.prompt.messages not in kept_out]
    if len(kept) == len(training):
        return kept, ""
    if not kept:
        raise InputError(
            f"every prompt is held out: of {len(training):,} {what} nothing is left to train on; give other prompts as "
            "data, or as heldout"
        )
    return kept, f"{len(training) - len(kept)} {what} left out of training: their prompts are among the held-out ones"


def by_answers(rankings: Sequence[Ranking]) -> list[list[Ranking]]:
    """Rankings of the same answers to the same prompt together: several raters' judgements, read in one pass."""
    groups: dict[Any, list[Ranking]] = {}
    for number, ranking in enumerate(rankings):
        texts = frozenset(ranking.completions)
        distinct = len(texts) == len(ranking.completions)
        groups.setdefault((ranking.prompt.messages, texts) if distinct else number, []).append(ranking)
    return list(groups.values())


def rank_examples(chat: Tokenises, rankings: Sequence[Ranking]) -> RankedExamples:
    """Tokenise the rankings of one set of answers, each answer once.

    A tie's target is 1/2 and it has no margin: neither side is to win by anything. Raters who disagree give opposite
    pairs, which together are the soft label of their shares; one who is less sure weighs less.
    """
    answers = rankings[0].completions
    chosen: list[int] = []
    rejected: list[int] = []
    target: list[float] = []
    margin: list[float] = []
    weights: list[float] = []
    for ranking in rankings:
        pairs = ranking.pairs()
        # another rater saw the same answers in another order
        place = [answers.index(text) for text in ranking.completions] if len(rankings) > 1 else range(len(answers))
        chosen += [place[better] for better, _, _ in pairs]
        rejected += [place[worse] for _, worse, _ in pairs]
        target += [0.5 if tie else 1.0 for _, _, tie in pairs]
        margins = ranking.margins or (0.0,) * len(pairs)
        margin += [0.0 if tie else by for (_, _, tie), by in zip(pairs, margins, strict=True)]
        weights += [ranking.weight] * len(pairs)
    return RankedExamples(
        examples=tuple(chat.example(rankings[0].prompt.messages, text) for text in answers),
        chosen=tuple(chosen),
        rejected=tuple(rejected),
        target=tuple(target),
        margin=tuple(margin),
        weights=tuple(weights),
    )


def unread_margins(margins: Iterable[Sequence[float]], loss: str) -> str:
    """A sentence for a loss that makes nothing of the rankings' margins ("" where there are none)."""
    given = any(margin for some in margins for margin in some)
    return f"the rankings' margins are not read: the {loss} loss has no place for them" if given else ""


def fitting(
    ranked: Sequence[RankedExamples], context: int, rankings: Sequence[Ranking], paths: Sequence[str]
) -> tuple[list[RankedExamples], str]:
    """Those whose every answer fits the context, prompt included, and a sentence about the others ("" for none).

    A cut answer is not the one that was judged. `rankings`, one each, and the files that hold them tell their lines.
    InputError: more than 1 % don't fit.
    """
    kept, sentence = fitting_groups([item.examples for item in ranked], context, "rankings", rankings, paths)
    return [ranked[index] for index in kept], sentence


def fits(item: RankedExamples, context: int) -> bool:
    """Whether every text of a ranking fits the context."""
    return all(len(example.ids) <= context for example in item.examples)


def pack_pairs(ranked: Sequence[RankedExamples]) -> PairBatch:
    """Several rankings as one batch."""
    chosen: list[int] = []
    rejected: list[int] = []
    first = 0
    for item in ranked:
        chosen += [first + index for index in item.chosen]
        rejected += [first + index for index in item.rejected]
        first += len(item.examples)
    return PairBatch(
        packed=pack([example for item in ranked for example in item.examples]),
        chosen=torch.tensor(chosen, dtype=torch.long),
        rejected=torch.tensor(rejected, dtype=torch.long),
        target=torch.tensor([target for item in ranked for target in item.target], dtype=torch.float32),
        margin=torch.tensor([margin for item in ranked for margin in item.margin], dtype=torch.float32),
        weight=torch.tensor([w / len(item.weights) for item in ranked for w in item.weights], dtype=torch.float32),
    )
