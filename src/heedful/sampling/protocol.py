"""What a sampler takes and gives: token ids in, token ids and their log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self

from heedful.config import Generation
from heedful.models.heads import Policy

if TYPE_CHECKING:
    from heedful.data.chat import Chat


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to sample. Nothing is masked: the trainer must give every token the same probability as the sampler."""

    temperature: float  # divides the logits; 0 is greedy
    max_new_tokens: int
    batch: int  # rows decoded together
    eos_id: int  # the token that ends an answer
    pad_id: int  # fills the left of shorter prompts where a model needs it; as an answer's token it is like any other
    also_ends: tuple[int, ...] = ()  # other tokens that end an answer, where a turn ends otherwise than a page

    @classmethod
    def of(cls, generation: Generation, chat: Chat) -> Self:
        """The config's settings with the tokenizer's ids."""
        return cls(
            temperature=generation.temperature,
            max_new_tokens=generation.max_new_tokens,
            batch=generation.batch,
            eos_id=chat.eos_id,
            pad_id=chat.pad_id,
            also_ends=(chat.document_end,) if chat.document_end != chat.eos_id else (),
        )


@dataclass(frozen=True, slots=True)
class Sampled:
    """One answer."""

    token_ids: tuple[int, ...]  # with the final EOS (or other end) where the policy ended
    logprobs: tuple[float, ...]  # of each token at the temperature of sampling; at 1 where it was greedy
    finish: Literal["eos", "length"]


class Sampler(Protocol):
    """A policy that writes. An answer depends on its prompt, its seed and the weights, not on the rest of the batch."""

    def sample(self, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]) -> list[Sampled]:
        """One answer for each prompt, in order. Raises InputError where a prompt leaves no room for an answer."""
        ...

    def update(self, model: Policy) -> None:
        """Sample from this policy from now on. Weights changed in place are seen without it."""
        ...
