"""A learned reward model as a Reward: its own tokenizer, packed batches, no gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.errors import InputError
from heedful.models.heads import RewardModel
from heedful.models.loading import Affine, load_reward_model
from heedful.records import Prompt
from heedful.rewards.protocol import Score

TOKENS_PER_BATCH = 16384
OVERHANG = 8  # tokens
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
        raw = self.score_examples([self._without_overhang(example) for example in examples])
        return [Score((value - self.affine.mean) / self.affine.std, {"raw": value}) for value in raw]

    @torch.no_grad()
    def score_examples(self, examples: Sequence[Example]) -> list[float]:
        """Log-odds of token sequences, in order. Equal ones are read once, and like lengths share a batch."""
        self._refuse_overlong(examples)
        place: dict[tuple[int, ...], int] = {}
        where = [place.setdefault(tuple(example.ids), len(place)) for example in examples]
        texts = [Example(ids) for ids in place]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i].ids))
        device = next(self.model.parameters()).device
        scores = [0.0] * len(texts)
        for group in groups_by_tokens([len(texts[i].ids) for i in order], TOKENS_PER_BATCH):
            members = [order[position] for position in group]
            values = self.model(pack([texts[i] for i in members]).to(device)).tolist()
            for index, value in zip(members, values, strict=True):
                scores[index] = value
        return [scores[index] for index in where]

    @property
    def context(self) -> int:
        """The longest sequence that the model reads, in tokens."""
        return self.model.context

    def _without_overhang(self, example: Example) -> Example:
        """An answer that the policy's context cut is a little longer here: by the end that it did not write, and by the
        bytes of a broken character."""
        over = len(example.ids) - self.context
        return Example(example.ids[: self.context], example.answer) if 0 < over <= OVERHANG else example

    def _refuse_overlong(self, examples: Sequence[Example]) -> None:
        longest = max((len(example.ids) for example in examples), default=0)
        if longest > self.context:
            raise InputError(
                f"the reward model reads {self.context} tokens and was given {longest}: shorten the prompts, "
                "lower max_new_tokens, or train the reward model from a policy with a longer context"
            )
