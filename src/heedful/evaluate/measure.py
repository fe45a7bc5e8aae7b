"""Everything that needs a model in memory, one model at a time: its answers, its drift, its bits per byte.

What was measured is kept as JSON, so that a stopped evaluation goes on with the next model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from heedful.data.chat import Chat
from heedful.evaluate.answers import AnswerSet, Speaker
from heedful.evaluate.divergence import Drift, drift
from heedful.evaluate.judging import judge_sets
from heedful.evaluate.tax import document_bits
from heedful.judges.protocol import Judge
from heedful.models.heads import Policy
from heedful.records import Messages, Prompt

LOOKALIKE_ANSWERS = 1000  # answers to harmless look-alikes, if a few draws a prompt reach it
TOKENS_PER_BATCH = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What every model is asked."""

    test: Sequence[Prompt]
    dev: Sequence[Prompt] = ()
    lookalikes: Sequence[Prompt] = ()
    showcase: Sequence[Prompt] = ()
    documents: Sequence[str | Messages] = ()
    draws: int = 4
    temperature: float = 1.0
    temperatures: Sequence[float] = ()

    @property
    def lookalike_draws(self) -> int:
        """Enough draws a prompt to reach a thousand answers, never more than the other prompts get."""
        return min(self.draws, ceil(LOOKALIKE_ANSWERS / max(1, len(self.lookalikes))))


@dataclass(frozen=True, slots=True)
class Measured:
    """One model.

    `sets`: answers by decoding (`sample`, `greedy`, `best`) and to the other prompts; `tried`: temperature → mean score
    on the dev prompts; `bits`: (bits, bytes) of each document; `drift`: of each sampled answer.
    """

    sets: Mapping[str, AnswerSet]
    parameters: int = 0
    tried: Mapping[str, float] = field(default_factory=dict)
    bits: Sequence[tuple[float, int]] = ()
    drift: Sequence[Sequence[Drift]] = ()

    def row(self) -> dict[str, Any]:
        return {
            "sets": {name: answers.row() for name, answers in self.sets.items()},
            "parameters": self.parameters,
            "tried": dict(self.tried),
            "bits": list(self.bits),
            "drift": [[d.row() for d in draws] for draws in self.drift],
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Measured:
        return cls(
            {name: AnswerSet.from_row(answers) for name, answers in row["sets"].items()},
            row["parameters"],
            row["tried"],
            [(bits, size) for bits, size in row["bits"]],
            [[Drift(**d) for d in draws] for draws in row["drift"]],
        )


def answers_of(speaker: Speaker, questions: Questions) -> dict[str, AnswerSet]:
    """The test prompts sampled and greedy, the look-alikes sampled, the showcase greedy."""
    sets = {
        "sample": speaker.ask(questions.test, "test", temperature=questions.temperature, draws=questions.draws),
        "greedy": speaker.ask(questions.test, "test", temperature=0.0, draws=1),
    }
    if questions.lookalikes:
        draws = questions.lookalike_draws
        sets["lookalikes"] = speaker.ask(
            questions.lookalikes, "lookalikes", temperature=questions.temperature, draws=draws
        )
    if questions.showcase:
        sets["showcase"] = speaker.ask(questions.showcase, "showcase", temperature=0.0, draws=1)
    return sets


def best_temperature(speaker: Speaker, questions: Questions, judge: Judge) -> dict[float, float]:
    """Temperature → mean score on the dev prompts, best first; of equals the cooler."""
    means = {}
    for temperature in sorted(questions.temperatures):
        answers = speaker.ask(questions.dev, "dev", temperature=temperature, draws=questions.draws)
        means[temperature] = float(judge_sets(judge, questions.dev, {"": answers})[""].totals.mean())
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))


def _at(speaker: Speaker, questions: Questions, temperature: float, sets: Mapping[str, AnswerSet]) -> AnswerSet:
    """The answers at the best temperature; those that are there already are not drawn again."""
    for answers in (sets["greedy"], sets["sample"]):
        if answers.temperature == temperature:
            return answers
    return speaker.ask(questions.test, "test", temperature=temperature, draws=questions.draws)


def measure(
    speaker: Speaker,
    policy: Policy,
    questions: Questions,
    *,
    judge: Judge | None = None,
    reference: Policy | None = None,
) -> Measured:
    """All of one model. `judge` chooses the best temperature; `reference` is what drift is measured from."""
    sets = answers_of(speaker, questions)
    tried: dict[float, float] = {}
    if judge is not None and questions.temperatures and questions.dev:
        tried = best_temperature(speaker, questions, judge)
        sets["best"] = _at(speaker, questions, next(iter(tried)), sets)
    limit = TOKENS_PER_BATCH
    moved: list[list[Drift]] = []
    if reference is not None:
        moved = drift(policy, reference, speaker.chat, questions.test, sets["sample"], tokens_per_batch=limit)
    bits = document_bits(policy, speaker.chat, questions.documents, context=policy.context, tokens_per_batch=limit)
    return Measured(sets, count_parameters(policy), {str(t): mean for t, mean in tried.items()}, bits, moved)


def count_parameters(policy: Policy) -> int:
    """Weights of a model; shared ones count once."""
    return sum(weight.numel() for weight in policy.parameters())


def same_tokens(chat: Chat, other: Chat) -> bool:
    """Whether two models read the same tokens, so that a divergence between them has a meaning."""
    return bool(chat.tokenizer.get_vocab() == other.tokenizer.get_vocab())
