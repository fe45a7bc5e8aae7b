"""Steps of rankings for reward models and direct losses: whole rankings, in an order that comes from seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from heedful.batches import Batch
from heedful.data.packing import groups_by_tokens
from heedful.errors import InputError
from heedful.run import Run
from heedful.train.loop import Step

B = TypeVar("B", bound=Batch)


class PairSource(Generic[B]):
    """Walks over rankings: each epoch a fresh permutation, cut into steps of at most `prompts_per_step` rankings.

    Steps of an epoch differ in size by one ranking at most, so that none is a small rest. `tokens` has one number a
    ranking; `make` turns the rankings of a micro-batch, named by index, into a batch. `weights` says for what the loss
    counts each ranking, however many pairs it has; empty: 1 each. `share` is (which, of how many) processes: each takes
    its part of every step.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        make: Callable[[Sequence[int]], B],
        run: Run,
        *,
        weights: Sequence[float] = (),
        prompts_per_step: int,
        tokens_per_batch: int,
        epochs: float = 1.0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.tokens = tokens
        self.make = make
        self.run = run
        self.weights = weights or [1.0] * len(tokens)
        self.tokens_per_batch = tokens_per_batch
        self.share = share
        self.steps_per_epoch = max(1, -(-len(tokens) // prompts_per_step))
        self.total_steps = max(1, round(epochs * self.steps_per_epoch))
        if len(tokens) // self.steps_per_epoch < share[1]:
            raise InputError(
                f"{len(tokens)} rankings in steps of {prompts_per_step} do not give each of {share[1]} processes one: "
                "raise prompts_per_step, add data, or start fewer processes"
            )

    def steps(self, start: int) -> Iterator[Step]:
        """The steps from `start` on, the same whenever and from wherever they are asked for."""
        for step in range(start, self.total_steps):
            mine = self.rankings_of(step)[self.share[0] :: self.share[1]]
            groups = groups_by_tokens([self.tokens[i] for i in mine], self.tokens_per_batch)
            batches = [self.make([mine[position] for position in group]) for group in groups]
            yield Step(batches=batches, count=sum(self.weights[i] for i in mine), metrics={})

    def rankings_of(self, step: int) -> list[int]:
        """The rankings of a step over all processes."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self.run.rng("order", epoch).permutation(len(self.tokens))
        return [int(i) for i in np.array_split(order, self.steps_per_epoch)[place]]

    def state_dict(self) -> dict[str, float | int]:
        """Nothing: where the walk stands is the step's number."""
        return {}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        """Nothing to restore."""
