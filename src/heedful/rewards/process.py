"""A process reward model: the chance that each step is right, made into one reward for the answer.

`min` and `product` judge an answer by its weakest step (Lightman 2023; Math-Shepherd). `sum` pays for each step that
looks right, so a policy that repeats a right step is paid again for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Literal, Self

import torch

from heedful.data.chat import Chat
from heedful.data.packing import groups_by_tokens
from heedful.data.steps import Cut, LabelledExample, StepExample, pack_correctness, step_example, steps_of
from heedful.models.classifiers import load_heads
from heedful.models.heads import Heads
from heedful.models.loading import Affine
from heedful.records import Prompt
from heedful.rewards.model import RAW
from heedful.rewards.packed import TOKENS_PER_BATCH, refuse_overlong, without_overhang
from heedful.rewards.protocol import Score

Way = Literal["min", "product", "mean", "last", "sum"]


def of_steps(chances: Sequence[float], way: Way) -> float:
    """An answer's reward from its steps' chances to be right."""
    match way:
        case "min":
            return min(chances)
        case "product":
            return prod(chances)
        case "mean":
            return sum(chances) / len(chances)
        case "last":
            return chances[-1]
        case "sum":
            return sum(chances)


class ProcessReward:
    """Scores an answer by its steps, then (· − mean)/std by the affine it is given."""

    def __init__(self, model: Heads, chat: Chat, cut: Cut, way: Way, affine: Affine = RAW) -> None:
        self.model, self.chat, self.cut, self.way, self.affine = model.eval(), chat, cut, way, affine

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu", affine: bool = True) -> Self:
        """A folder that `heedful reward` wrote from step labels; another's is read in lines, by its weakest one."""
        model, chat, stored = load_heads(folder, device)
        config = model.classifier.config
        cut: Cut = getattr(config, "heedful_steps", "lines")
        way: Way = getattr(config, "heedful_step_score", "min")
        return cls(model, chat, cut, way, stored if affine else RAW)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order; `parts` tells the raw one, the number of steps and the weakest."""
        cut = [steps_of(text, self.cut) for text in completions]
        asked = zip(prompts, completions, cut, strict=True)
        examples = [step_example(self.chat, prompt.messages, text, steps) for prompt, text, steps in asked]
        scores = []
        for chances in self.chances([self._fitting(example) for example in examples]):
            raw = of_steps(chances, self.way)
            parts = {"raw": raw, "steps": float(len(chances)), "weakest": min(chances)}
            scores.append(Score((raw - self.affine.mean) / self.affine.std, parts))
        return scores

    @torch.no_grad()
    def chances(self, examples: Sequence[StepExample]) -> list[list[float]]:
        """The chance that each step is right, in order."""
        refuse_overlong([item.example for item in examples], self.model.context)
        order = sorted(range(len(examples)), key=lambda i: len(examples[i].example.ids))
        device = next(self.model.parameters()).device
        found: list[list[float]] = [[] for _ in examples]
        for group in groups_by_tokens([len(examples[i].example.ids) for i in order], TOKENS_PER_BATCH):
            members = [order[place] for place in group]
            items = [LabelledExample(e.example, e.ends, (0.0,) * len(e.ends)) for e in (examples[i] for i in members)]
            batch = pack_correctness(items).to(device)
            right = self.model(batch.packed, batch.at).softmax(-1)[:, 1]
            for index, chances in zip(members, right.split([len(item.at) for item in items]), strict=True):
                found[index] = chances.tolist()
        return found

    def _fitting(self, item: StepExample) -> StepExample:
        """See `without_overhang`; a step that ends in what is cut off is read at the last token that is left."""
        example = without_overhang(item.example, self.model.context)
        return StepExample(example, tuple(min(end, len(example.ids) - 1) for end in item.ends))
