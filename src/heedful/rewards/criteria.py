"""A reward model with a head for each criterion: its reward is a weighted sum, and every rating is a named part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import Example, pack
from heedful.data.ratings import Criterion
from heedful.models.classifiers import load_heads
from heedful.models.heads import Heads
from heedful.models.loading import Affine, criteria_in
from heedful.records import Prompt
from heedful.rewards.model import RAW
from heedful.rewards.packed import in_batches, refuse_overlong, without_overhang
from heedful.rewards.protocol import Score


class CriteriaReward:
    """Σ_k w_k · rating_k in the ratings' own units, then (· − mean)/std by the affine it is given."""

    def __init__(self, model: Heads, chat: Chat, criteria: Sequence[Criterion], affine: Affine = RAW) -> None:
        self.model, self.chat, self.criteria, self.affine = model.eval(), chat, tuple(criteria), affine

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu", affine: bool = True) -> Self:
        """A folder that `heedful reward` wrote from ratings."""
        model, chat, stored = load_heads(folder, device)
        return cls(model, chat, criteria_in(model.classifier), stored if affine else RAW)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order; `parts` holds the weighted sum as `raw`, and each criterion's rating."""
        asked = zip(prompts, completions, strict=True)
        examples = [without_overhang(self.chat.example(p.messages, t), self.model.context) for p, t in asked]
        scores = []
        for ratings in self.ratings(examples):
            raw = sum(c.weight * rating for c, rating in zip(self.criteria, ratings, strict=True))
            named = {c.name: rating for c, rating in zip(self.criteria, ratings, strict=True)}
            scores.append(Score((raw - self.affine.mean) / self.affine.std, {"raw": raw} | named))
        return scores

    @torch.no_grad()
    def ratings(self, examples: Sequence[Example]) -> list[list[float]]:
        """What raters would give, one row an answer, one column a criterion."""
        refuse_overlong(examples, self.model.context)
        device = next(self.model.parameters()).device

        def rows(texts: list[Example]) -> list[list[float]]:
            batch = pack(texts).to(device)
            found: list[list[float]] = self.model(batch, batch.ends).tolist()
            return found

        return [
            [c.mean + c.std * value for c, value in zip(self.criteria, row, strict=True)]
            for row in in_batches(examples, rows)
        ]
