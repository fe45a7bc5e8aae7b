"""The answers of one call while they grow: where each may end, its random numbers, its tokens so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import InputError
from heedful.run import console
from heedful.sampling.draw import Drawn, draw, uniforms
from heedful.sampling.protocol import Sampled, SamplingParams


@dataclass
class Room:
    """A model's context, and whether the user was told that it cuts answers."""

    context: int
    told: bool = False

    def limits(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[int]:
        """How many tokens each answer may have: `max_new_tokens`, or what the context has left."""
        for index, prompt in enumerate(prompts):
            if not prompt:
                raise InputError(f"prompt {index + 1} of {len(prompts)} has no tokens: give it at least one")
            if len(prompt) >= self.context:
                raise InputError(
                    f"prompt {index + 1} of {len(prompts)} has {len(prompt)} tokens and the model's context is "
                    f"{self.context}: shorten the prompt to leave room for an answer"
                )
        limits = [min(max_new_tokens, self.context - len(prompt)) for prompt in prompts]
        cut = sum(limit < max_new_tokens for limit in limits)
        if cut and not self.told:
            self.told = True
            console.print(
                f"      sample the model's context of {self.context} tokens leaves {cut} of {len(prompts)} answers "
                f"less than {max_new_tokens} tokens: they end at {min(limits)} or later"
            )
        return limits


class Answers:
    """N answers, each at its own length, in tensors: no Python runs for single tokens."""

    def __init__(
        self, limits: Sequence[int], params: SamplingParams, seeds: Sequence[int], device: torch.device
    ) -> None:
        if len(seeds) != len(limits):
            raise ValueError(f"{len(limits)} prompts need as many seeds, not {len(seeds)}")
        longest = max(limits, default=0)
        self.params = params
        self.limits = torch.tensor(limits, device=device)  # (N,)
        self.made = torch.zeros_like(self.limits)  # (N,)
        self.tokens = torch.zeros(len(limits), longest, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(len(limits), longest, device=device)
        self.ends = torch.tensor([params.eos_id, *params.also_ends], device=device)
        greedy = params.temperature == 0
        self.uniforms = self.logprobs if greedy else uniforms(seeds, longest).to(device)

    def extend(self, samples: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the next token of these answers. samples (n,), logits (n, V) -> tokens (n,), whether it ended (n,)"""
        made = self.made[samples]
        drawn: Drawn = draw(logits, self.uniforms[samples, made], self.params.temperature)
        self.tokens[samples, made] = drawn.tokens
        self.logprobs[samples, made] = drawn.logprobs
        made = made + 1
        self.made[samples] = made
        return drawn.tokens, (drawn.tokens[:, None] == self.ends).any(-1) | (made == self.limits[samples])

    def finished(self) -> list[Sampled]:
        """All answers, in the order of the prompts."""
        ends = {self.params.eos_id, *self.params.also_ends}
        rows = zip(self.tokens.tolist(), self.logprobs.tolist(), self.made.tolist(), strict=True)
        return [
            Sampled(
                token_ids=tuple(tokens[:made]),
                logprobs=tuple(logprobs[:made]),
                finish="eos" if tokens[made - 1] in ends else "length",
            )
            for tokens, logprobs, made in rows
        ]
