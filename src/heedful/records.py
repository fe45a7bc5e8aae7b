"""What lives on disk: the records that stages hand each other as JSONL or Parquet rows.

Column names are TRL's (`prompt`, `completion`, `messages`, `chosen`, `rejected`, `label`, `margin`), so that any tool
reads our files and we read theirs. Whoever judged (a person, an AI judge, a simulated rater), the record is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

RaterKind = Literal["human", "ai", "simulated"]
Finish = Literal["eos", "length", "given"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`; `text`: a text to be continued."""
    content: str
    """What is said."""


Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation that waits for an answer; `meta` says where it comes from (family, slot, template, group).

    `id` is what its file calls it. Two files may both call theirs 1 to N, so prompts are the same where their
    `messages` are, whatever their ids.
    """

    id: str
    messages: Messages
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A prompt with the answer that a good assistant would give; `completion` is the last assistant turn."""

    prompt: Prompt
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer that a policy gave; `token_ids` and `logprobs` as sampled, with the final EOS where there is one.

    `finish` is `eos` (the policy ended), `length` (cut at the limit) or `given` (no policy sampled it here).
    """

    prompt: Prompt
    text: str
    policy: str
    finish: Finish = "given"
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One rater's order of several answers to one prompt: rank 0 is best, equal ranks are ties."""

    prompt: Prompt
    completions: tuple[str, ...]
    ranks: tuple[int, ...]
    rater: str
    rater_kind: RaterKind
    sources: tuple[str, ...] = ()
    margins: tuple[float, ...] = ()  # one for each pair in the order of pairs(); empty: no margins
    weight: float = 1.0  # how much the judgement counts, as sure as its rater is

    def pairs(self) -> list[tuple[int, int, bool]]:
        """All C(G,2) pairs as (better, worse, tie), in the order of `itertools.combinations`."""
        pairs = []
        for i, j in combinations(range(len(self.completions)), 2):
            better, worse = (i, j) if self.ranks[i] <= self.ranks[j] else (j, i)
            pairs.append((better, worse, self.ranks[i] == self.ranks[j]))
        return pairs

    def comparisons(self) -> list[Comparison]:
        """The same judgement as pairs, of equal weight and together the ranking's (InstructGPT, eq. 1)."""
        pairs = self.pairs()
        margins = self.margins or (0.0,) * len(pairs)
        return [
            Comparison(
                prompt=self.prompt,
                chosen=self.completions[better],
                rejected=self.completions[worse],
                tie=tie,
                margin=margin,
                weight=self.weight / len(pairs),
                rater=self.rater,
                rater_kind=self.rater_kind,
            )
            for (better, worse, tie), margin in zip(pairs, margins, strict=True)
        ]

    def labels(self) -> list[Labelled]:
        """The decided pairs, split: each answer wanted for what it won and unwanted for what it lost.

        Wanted labels weigh in all what the ranking weighs, and so do unwanted ones. Empty where every pair is a tie.
        """
        decided = [(better, worse) for better, worse, tie in self.pairs() if not tie]
        sides = {True: Counter(better for better, _ in decided), False: Counter(worse for _, worse in decided)}
        return [
            Labelled(
                prompt=self.prompt,
                completion=text,
                label=label,
                weight=self.weight * count[index] / len(decided),
                rater=self.rater,
                rater_kind=self.rater_kind,
            )
            for index, text in enumerate(self.completions)
            for label, count in sides.items()
            if count[index]
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One judgement between two answers to one prompt."""

    prompt: Prompt
    chosen: str
    rejected: str
    tie: bool = False
    margin: float = 0.0
    weight: float = 1.0
    rater: str = ""
    rater_kind: RaterKind = "human"

    def swap(self) -> Comparison:
        """The opposite judgement; for tests of symmetry and position bias."""
        return replace(self, chosen=self.rejected, rejected=self.chosen)

    def ranking(self) -> Ranking:
        """The same judgement as a ranking of two."""
        return Ranking(
            prompt=self.prompt,
            completions=(self.chosen, self.rejected),
            ranks=(0, 0) if self.tie else (0, 1),
            rater=self.rater,
            rater_kind=self.rater_kind,
            margins=(self.margin,) if self.margin else (),
            weight=self.weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What one rater gave one answer, criterion by criterion; one that was not rated is absent."""

    prompt: Prompt
    completion: str
    ratings: Mapping[str, float]
    rater: str = ""
    rater_kind: RaterKind = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One answer judged by itself: wanted or not (TRL's unpaired preference)."""

    prompt: Prompt
    completion: str
    label: bool
    weight: float = 1.0
    rater: str = ""
    rater_kind: RaterKind = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLabels:
    """An answer in steps, and of each step the chance that it is right: 1 or 0 where a person said so."""

    prompt: Prompt
    steps: tuple[str, ...]
    labels: tuple[float, ...]
    rater: str = ""
    rater_kind: RaterKind = "human"


Record = Prompt | Demonstration | Completion | Ranking | Comparison | Rating | StepLabels | Labelled


def messages_to_rows(messages: Iterable[Message]) -> list[Row]:
    """Messages as the `{"role", "content"}` objects of TRL's conversational formats."""
    return [{"role": m.role, "content": m.content} for m in messages]


def messages_from_rows(rows: Iterable[Mapping[str, str]]) -> Messages:
    return tuple(Message(row["role"], row["content"]) for row in rows)


def _answer(text: str) -> list[Row]:
    return [{"role": "assistant", "content": text}]


def _prompt_row(prompt: Prompt) -> Row:
    row: Row = {"id": prompt.id, "prompt": messages_to_rows(prompt.messages)}
    return row | ({"meta": dict(prompt.meta)} if prompt.meta else {})


def to_row(record: Record) -> Row:
    """The JSON object that stands for a record on disk."""
    match record:
        case Prompt():
            return _prompt_row(record)
        case Demonstration():
            return _prompt_row(record.prompt) | {"completion": _answer(record.completion)}
        case Completion():
            return _prompt_row(record.prompt) | {
                "completion": _answer(record.text),
                "policy": record.policy,
                "finish": record.finish,
                "temperature": record.temperature,
                "token_ids": list(record.token_ids),
                "logprobs": list(record.logprobs),
            }
        case Ranking():
            return _prompt_row(record.prompt) | {
                "completions": [_answer(text) for text in record.completions],
                "ranks": list(record.ranks),
                "rater": record.rater,
                "rater_kind": record.rater_kind,
                "sources": list(record.sources),
                "margins": list(record.margins),
                "weight": record.weight,
            }
        case Comparison():
            return _prompt_row(record.prompt) | {
                "chosen": _answer(record.chosen),
                "rejected": _answer(record.rejected),
                "tie": record.tie,
                "margin": record.margin,
                "weight": record.weight,
                "rater": record.rater,
                "rater_kind": record.rater_kind,
            }
        case Rating():
            return _prompt_row(record.prompt) | {
                "completion": _answer(record.completion),
                "ratings": dict(record.ratings),
                "rater": record.rater,
                "rater_kind": record.rater_kind,
            }
        case StepLabels():
            return _prompt_row(record.prompt) | {
                "completions": list(record.steps),
                "labels": [
                    bool(label) if label in (0, 1) else label for label in record.labels
                ],  # TRL's are true/false
                "rater": record.rater,
                "rater_kind": record.rater_kind,
            }
        case Labelled():
            return _prompt_row(record.prompt) | {
                "completion": _answer(record.completion),
                "label": record.label,
                "weight": record.weight,
                "rater": record.rater,
                "rater_kind": record.rater_kind,
            }


_quoted = json.JSONEncoder(ensure_ascii=False).encode


def prompt_id(messages: Iterable[Message]) -> str:
    """A content hash: the same conversation has the same id in every file."""
    text = ", ".join([f"[{_quoted(m.role)}, {_quoted(m.content)}]" for m in messages])  # as json.dumps writes lists
    return hashlib.sha256(f"[{text}]".encode()).hexdigest()[:16]
