"""Scores of every answer by every judge; each distinct answer is judged once, so equal texts always tie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from heedful.evaluate.answers import AnswerSet
from heedful.evaluate.statistics import Floats
from heedful.judges.protocol import Judge, Judgement
from heedful.records import Prompt
from heedful.rewards import Reward


class Scored(Protocol):
    """What a truth says of one answer."""

    @property
    def total(self) -> float: ...
    @property
    def criteria(self) -> Mapping[str, float]: ...
    @property
    def flags(self) -> frozenset[str]: ...


class Truth(Protocol):
    """A programmatic truth: the built-in world's gold judge, or a sentiment lexicon."""

    def score(self, prompt: Prompt, text: str) -> Scored: ...


@dataclass(frozen=True, slots=True)
class TruthJudge:
    """A truth as a judge."""

    truth: Truth

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Judgement]:
        scored = [self.truth.score(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        return [Judgement(s.total, s.criteria, s.flags) for s in scored]


@dataclass(frozen=True, slots=True)
class RewardJudge:
    """A reward model as a judge: one number, no criteria."""

    reward: Reward

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Judgement]:
        return [Judgement(score.value) for score in self.reward.score(prompts, texts)]


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge's view of one answer set: `judgements[prompt][draw]`."""

    judgements: tuple[tuple[Judgement, ...], ...]

    def only(self, rows: Sequence[int]) -> Judged:
        """The view of some prompts."""
        return Judged(tuple(self.judgements[i] for i in rows))

    @property
    def totals(self) -> Floats:
        """(prompts, draws)"""
        return np.array([[j.total for j in draws] for draws in self.judgements], dtype=np.float64)

    def criterion(self, name: str) -> Floats:
        """The mean of one criterion over a prompt's draws; `total` is one too. (prompts,)"""
        if name == "total":
            return np.asarray(self.totals.mean(1))
        values = [[j.criteria[name] for j in draws] for draws in self.judgements]
        return np.asarray(np.array(values, dtype=np.float64).mean(1))

    def flagged(self, *flags: str) -> Floats:
        """The share of a prompt's draws that carry any of these flags. (prompts,)"""
        carried = [[not j.flags.isdisjoint(flags) for j in draws] for draws in self.judgements]
        return np.asarray(np.array(carried, dtype=np.float64).mean(1))

    @property
    def criteria(self) -> list[str]:
        return ["total", *self.judgements[0][0].criteria]

    @property
    def flags(self) -> list[str]:
        return sorted({flag for draws in self.judgements for j in draws for flag in j.flags})


def judge_sets(judge: Judge, prompts: Sequence[Prompt], sets: Mapping[str, AnswerSet]) -> dict[str, Judged]:
    """Judge several answer sets to the same prompts; a text that several models wrote is judged once."""
    places: dict[tuple[int, str], int] = {}
    for answers in sets.values():
        for index, draws in enumerate(answers.answers):
            for answer in draws:
                places.setdefault((index, answer.text), len(places))
    found = judge.judge([prompts[index] for index, _ in places], [text for _, text in places])
    return {
        name: Judged(
            tuple(
                tuple(found[places[index, answer.text]] for answer in draws)
                for index, draws in enumerate(answers.answers)
            )
        )
        for name, answers in sets.items()
    }
