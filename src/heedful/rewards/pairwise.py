"""A pairwise preference model: it reads two answers side by side and says how likely the first is the better one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.data.side_by_side import gaps, side_by_side
from heedful.errors import InputError
from heedful.models.classifiers import kind_of
from heedful.models.heads import RewardModel
from heedful.models.loading import load_reward_model
from heedful.records import Prompt
from heedful.rewards.packed import in_batches, refuse_overlong


class PreferenceModel:
    """P(a ≻ b) = σ(f(a, b) − f(b, a)). Preferences may go in a circle, which no score of single answers can say."""

    def __init__(self, model: RewardModel, chat: Chat) -> None:
        self.model, self.chat = model.eval(), chat

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu") -> Self:
        """A folder that `heedful reward` wrote with the pairwise loss."""
        if kind_of(folder) != "pairwise":
            raise InputError(f'{folder}: reads no two answers side by side; train it with loss.type = "pairwise"')
        model, chat, _ = load_reward_model(folder, device=device)
        return cls(model, chat)

    def log_odds(self, prompts: Sequence[Prompt], first: Sequence[str], second: Sequence[str]) -> list[float]:
        """Of each first answer to be preferred to the second, in order."""
        examples = []
        for prompt, one, other in zip(prompts, first, second, strict=True):
            examples += [side_by_side(self.chat, prompt.messages, *pair) for pair in ((one, other), (other, one))]
        return gaps(self.score_examples(examples))

    @torch.no_grad()
    def score_examples(self, examples: Sequence[Example]) -> list[float]:
        """f of each text of two answers, in order."""
        refuse_overlong(examples, self.model.context)
        device = next(self.model.parameters()).device
        return in_batches(examples, lambda texts: self.model(pack(texts).to(device)).tolist())
