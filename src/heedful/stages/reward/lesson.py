"""What a kind of reward model brings to the stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import nn
from transformers import PreTrainedModel

from heedful.batches import Batch
from heedful.config import Training
from heedful.data.packing import groups_by_tokens
from heedful.run import Run
from heedful.train.loop import Objective

Report = dict[str, Any]
T = TypeVar("T")


def shown(
    items: Sequence[T], tokens: Callable[[T], int], pack: Callable[[Sequence[T]], Batch], training: Training
) -> list[Batch]:
    """Held-out items as batches for early stop to look at; without early stop none."""
    if not training.early_stop.metric:
        return []
    groups = groups_by_tokens(map(tokens, items), training.tokens_per_batch)
    return [pack([items[i] for i in group]) for group in groups]


class Trained(Protocol):
    """A trained reward model of one kind."""

    @property
    def classifier(self) -> PreTrainedModel:
        """What is saved, and averaged over an ensemble's members."""
        ...

    def save(self, run: Run) -> None:
        """Set the scale on SFT samples and leave `model/`."""
        ...

    def report(self, run: Run) -> tuple[Report, str]:
        """Figures on held-out judgements, and a sentence."""
        ...

    def heldout_scores(self) -> list[float]:
        """One score for each answer of the held-out rankings; none where there are no rankings."""
        ...

    def ensemble_report(self, scores: Sequence[Sequence[float]]) -> Report:
        """Figures on an ensemble whose members gave these scores."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """A model to train, what it learns from, and what it is once it has learnt."""

    model: nn.Module
    tokens: Sequence[int]  # of each item: a ranking, or a judged answer
    batch: Callable[[Sequence[int]], Batch]  # some of the items, by index
    objective: Objective
    done: Callable[[], Trained]
    heldout: Sequence[Batch] = ()  # what early stop looks at
    weights: Sequence[float] = ()  # for what the loss counts each item; empty: 1
    whole_steps: str = ""  # why a step can't be cut into micro-batches; "" where it can
