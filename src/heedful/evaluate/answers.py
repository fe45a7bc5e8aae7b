"""What a model answers: several sampled answers and one greedy for each prompt, each draw named by its seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heedful.config import Generation
from heedful.data.chat import Chat
from heedful.records import Messages, Prompt
from heedful.run import Run
from heedful.sampling.protocol import Sampler, SamplingParams

CHUNK = 1024  # answers between two steps of the progress bar


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its text, the tokens that were sampled (the final EOS included), and how it ended."""

    text: str
    token_ids: tuple[int, ...]
    finish: str

    @property
    def words(self) -> int:
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """Answers of one model to a list of prompts at one temperature: `answers[prompt][draw]`."""

    temperature: float
    answers: tuple[tuple[Answer, ...], ...]

    @property
    def flat(self) -> list[Answer]:
        return [answer for draws in self.answers for answer in draws]

    def row(self) -> dict[str, Any]:
        answers = [[[a.text, list(a.token_ids), a.finish] for a in draws] for draws in self.answers]
        return {"temperature": self.temperature, "answers": answers}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> AnswerSet:
        answers = tuple(tuple(Answer(t, tuple(ids), f) for t, ids, f in draws) for draws in row["answers"])
        return cls(row["temperature"], answers)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model that can be asked. `prefix` are turns put in front of every prompt (few-shot examples)."""

    name: str
    sampler: Sampler
    chat: Chat
    generation: Generation
    run: Run
    prefix: Messages = ()

    def ask(self, prompts: Sequence[Prompt], purpose: str, *, temperature: float, draws: int) -> AnswerSet:
        """`draws` answers to each prompt; one where the temperature is 0, as greedy answers do not differ."""
        draws = draws if temperature > 0 else 1
        params = SamplingParams.of(self.generation.model_copy(update={"temperature": temperature}), self.chat)
        asked = [self.chat.prompt_ids((*self.prefix, *prompt.messages)) for prompt in prompts]
        rows = [(ids, draw, index) for index, ids in enumerate(asked) for draw in range(draws)]
        answers: list[Answer] = []
        with self.run.progress(f"{self.name} {purpose}", len(rows)) as progress:
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                seeds = [self.run.seed_for(f"{self.name}/{purpose}/{temperature}", i, draw) for _, draw, i in part]
                for sampled in self.sampler.sample([ids for ids, _, _ in part], params, seeds):
                    answers.append(Answer(self.chat.decode(sampled.token_ids), sampled.token_ids, sampled.finish))
                progress.advance(len(part))
        grouped = tuple(tuple(answers[i : i + draws]) for i in range(0, len(answers), draws))
        return AnswerSet(temperature, grouped)
