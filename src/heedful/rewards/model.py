"""A learned reward model as a Reward: its own tokenizer, packed batches, no gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.models.heads import RewardModel
from heedful.models.loading import Affine, load_reward_model
from heedful.records import Prompt
from heedful.rewards.packed import in_batches, refuse_overlong, without_overhang
from heedful.rewards.protocol import Score

RAW = Affine(mean=0.0, std=1.0)  # log-odds as they are


class ModelReward:
    """Log-odds of a reward model, normalised as (score − mean)/std by the affine it is given."""

    def __init__(self, model: RewardModel, chat: Chat, affine: Affine = RAW) -> None:
        self.model = model.eval()
        self.chat = chat
        self.affine = affine

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu", affine: bool = True) -> Self:
        """A reward model's folder; `affine=False` gives its log-odds as they are."""
        model, chat, stored = load_reward_model(folder, device=device)
        return cls(model, chat, stored if affine else RAW)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order; `parts["raw"]` holds its log-odds."""
        asked = zip(prompts, completions, strict=True)
        examples = [self.chat.example(prompt.messages, text) for prompt, text in asked]
        raw = self.score_examples([without_overhang(example, self.context) for example in examples])
        return [Score((value - self.affine.mean) / self.affine.std, {"raw": value}) for value in raw]

    @torch.no_grad()
    def score_examples(self, examples: Sequence[Example]) -> list[float]:
        """Log-odds of token sequences, in order."""
        refuse_overlong(examples, self.context)
        device = next(self.model.parameters()).device
        return in_batches(examples, lambda texts: self.model(pack(texts).to(device)).tolist())

    @property
    def context(self) -> int:
        """The longest sequence that the model reads, in tokens."""
        return self.model.context
