"""How likely a language model finds an answer, as a Reward; against a reference it is DPO's implicit reward.

Rafailov 2023, §4: a policy trained by DPO is a reward model, r = β·log π(y|x)/π_ref(y|x) up to a term of the prompt.
It compares what was written with what it would have written, token by token: a head on the last token must learn that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.models.heads import Policy
from heedful.models.loading import load_policy
from heedful.records import Prompt
from heedful.rewards.packed import in_batches, refuse_overlong, without_overhang
from heedful.rewards.protocol import Score


class Likelihood:
    """log p(answer | prompt) of one language model, by its own tokenizer; the end of the turn counts."""

    def __init__(self, policy: Policy, chat: Chat) -> None:
        self.policy, self.chat = policy.eval(), chat

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu") -> Self:
        """A causal model's folder."""
        return cls(*load_policy(folder, device=device))

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str], *, per_token: bool) -> list[float]:
        """Nats, in order: over the whole answer, or the mean over its tokens."""
        asked = zip(prompts, completions, strict=True)
        examples = [self.chat.example(prompt.messages, text) for prompt, text in asked]
        examples = [without_overhang(example, self.policy.context) for example in examples]
        refuse_overlong(examples, self.policy.context)
        sums = in_batches(examples, self._sums)
        return [total / example.targets if per_token else total for total, example in zip(sums, examples, strict=True)]

    @torch.no_grad()
    def _sums(self, examples: list[Example]) -> list[float]:
        batch = pack(examples).to(next(self.policy.parameters()).device)
        logprobs = self.policy(batch).float()  # (N,)
        return [float(answer.sum()) for answer in logprobs.split([example.targets for example in examples])]


class LikelihoodReward:
    """log p(y|x), or log p(y|x)/p_ref(y|x) where there is a reference: `against` holds it, or nothing."""

    def __init__(self, model: Likelihood, against: Sequence[Likelihood] = (), *, per_token: bool = False) -> None:
        self.model, self.against, self.per_token = model, tuple(against), per_token

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order."""
        values = self.model(prompts, completions, per_token=self.per_token)
        for reference in self.against:
            theirs = reference(prompts, completions, per_token=self.per_token)
            values = [ours - other for ours, other in zip(values, theirs, strict=True)]
        return [Score(value) for value in values]
