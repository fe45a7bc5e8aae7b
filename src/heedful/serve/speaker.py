"""A model folder that answers conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.errors import InputError
from heedful.models.heads import context_of
from heedful.models.loading import load_policy
from heedful.records import Messages
from heedful.sampling import Sampled, Sampler, SamplingParams, make_sampler


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    text: str
    sampled: Sampled
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """A loaded model with its tokenizer."""

    name: str
    chat: Chat
    sampler: Sampler
    context: int  # tokens, prompt and answer together

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """`03-sft/model` is called 03-sft, any other folder by its own name. InputError: it is no model folder."""
        policy, chat = load_policy(folder, device="cuda" if torch.cuda.is_available() else "cpu")
        path = Path(folder).resolve()
        name = path.parent.name if path.name == "model" else path.name
        return cls(name, chat, make_sampler(policy), context_of(policy.lm))

    def answer(
        self, messages: Messages, seeds: Sequence[int], *, temperature: float, max_new_tokens: int
    ) -> list[Answer]:
        """One answer for each seed. InputError: the conversation fills the context."""
        ids = self.chat.prompt_ids(messages)
        if len(ids) >= self.context:
            raise InputError(
                f"the conversation has {len(ids)} tokens and the context of {self.name} is {self.context}: shorten it"
            )
        params = SamplingParams(
            temperature=temperature,
            max_new_tokens=min(max_new_tokens, self.context - len(ids)),
            batch=len(seeds),
            eos_id=self.chat.eos_id,
            pad_id=self.chat.pad_id,
            also_ends=(self.chat.document_end,),
        )
        sampled = self.sampler.sample([ids] * len(seeds), params, seeds)
        return [Answer(self.chat.decode(one.token_ids), one, len(ids)) for one in sampled]
