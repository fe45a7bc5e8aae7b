"""Steps of packed examples, in an order that comes from seeds alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from heedful.batches import PackedBatch
from heedful.config import Training
from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.run import Run
from heedful.train.loop import Step

Indices = NDArray[np.int64]


def cut(lengths: Indices, tokens_per_step: int) -> list[Indices]:
    """Positions of consecutive sequences in steps of about equal size, none a small rest.

    T tokens make n = round(T/tokens_per_step) steps; a sequence belongs to the step in which its middle lies.
    """
    total = int(lengths.sum())
    steps = max(1, round(total / tokens_per_step))
    middle = lengths.cumsum() - lengths / 2
    step_of = (middle * steps / total).astype(np.int64)
    return np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(step_of)) + 1)


def packed(examples: Sequence[Example], tokens: int) -> list[PackedBatch]:
    """Examples in batches of at most `tokens`, for measuring rather than learning."""
    order = sorted(examples, key=lambda example: len(example.ids))
    return [pack([order[i] for i in group]) for group in groups_by_tokens([len(e.ids) for e in order], tokens)]


class PackedSource:
    """Walks over examples: each epoch a fresh permutation, cut into steps of about `tokens_per_step` tokens.

    `share` is (which, of how many) processes: each takes its part of every step. Batches are packed when they are due.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        run: Run,
        *,
        tokens_per_step: int,
        training: Training,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if not any(example.targets for example in examples):
            raise ValueError("nothing to learn from: no example has a target")
        self.examples, self.run, self.share = examples, run, share
        self.tokens_per_step, self.tokens_per_batch = tokens_per_step, training.tokens_per_batch
        self._lengths = np.array([len(example.ids) for example in examples], dtype=np.int64)
        whole, rest = divmod(training.epochs, 1.0)
        self._steps_of_epoch = [len(self._epoch(epoch)) for epoch in range(int(whole))]
        if rest or not whole:
            self._steps_of_epoch.append(round(rest * len(self._epoch(int(whole)))))
        self._steps_of_epoch[0] = max(1, self._steps_of_epoch[0])
        self.total_steps = sum(self._steps_of_epoch)

    def _epoch(self, epoch: int) -> list[Indices]:
        """The examples of each step of an epoch."""
        order = self.run.rng("order", epoch).permutation(len(self.examples))
        return [order[positions] for positions in cut(self._lengths[order], self.tokens_per_step)]

    def steps(self, start: int) -> Iterator[Step]:
        """The steps from `start` on, the same whenever and from wherever they are asked for."""
        for epoch, count in enumerate(self._steps_of_epoch):
            if start < count:
                yield from (self._step(members) for members in self._epoch(epoch)[start:count])
            start = max(0, start - count)

    def _step(self, members: Indices) -> Step:
        """This process's share, longest first: like lengths side by side make attention cheap."""
        rank, processes = self.share
        members = members[np.argsort(-self._lengths[members], kind="stable")][rank::processes]
        mine = [self.examples[int(i)] for i in members] or [self._nothing()]
        groups = groups_by_tokens([len(example.ids) for example in mine], self.tokens_per_batch)
        batches = [pack([mine[i] for i in group]) for group in groups]
        return Step(batches=batches, count=float(sum(example.targets for example in mine)))

    def _nothing(self) -> Example:
        """For a rank without a sequence in this step: it must go through the model like all others, for no gradient."""
        ids = self.examples[0].ids[:1]
        return Example(ids, answer=len(ids))

    def state_dict(self) -> dict[str, float | int]:
        """Nothing: where the walk stands is the step's number."""
        return {}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        """Nothing to restore."""
