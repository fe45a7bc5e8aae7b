"""What the tests of direct losses share: every loss, pairs of free numbers, and policies made of free numbers."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import get_args

import torch
from torch import Tensor, nn

from heedful.algorithms.direct.answers import Answers
from heedful.algorithms.direct.pairs import Pairs, Side
from heedful.batches import LabelBatch, PackedBatch, PairBatch, PreferenceBatch
from heedful.config.direct import DirectLoss, PairedLoss, UnpairedLoss
from heedful.data.packing import Example, pack

PAIRED: list[PairedLoss] = [kind() for kind in get_args(PairedLoss)]
UNPAIRED: list[UnpairedLoss] = [kind() for kind in get_args(UnpairedLoss)]
LN2 = log(2)


def named(loss: DirectLoss) -> str:
    return str(loss.model_dump()["type"])


def pairs(
    chosen: list[float], rejected: list[float], *, lengths: tuple[int, int] = (1, 1), margin: float = 0.0
) -> Pairs:
    """Pairs of the policy's log-probabilities under a reference that gives every answer −10."""
    up, down = torch.tensor(chosen, dtype=torch.float64), torch.tensor(rejected, dtype=torch.float64)
    reference = torch.full_like(up, -10.0)
    sides = [
        Side(policy, reference, torch.full_like(up, length)) for policy, length in zip((up, down), lengths, strict=True)
    ]
    return Pairs(*sides, margin=torch.full_like(up, margin))


def ratios(chosen: float, rejected: float, *, lengths: tuple[int, int] = (1, 1), margin: float = 0.0) -> Pairs:
    """One pair with these log-ratios d_w and d_l."""
    return pairs([chosen - 10], [rejected - 10], lengths=lengths, margin=margin)


def answer(ratio: float, *, wanted: float, unwanted: float, baseline: float = 0.0) -> Answers:
    """One labelled answer with this log-ratio."""
    one = torch.ones(1, dtype=torch.float64)
    return Answers(
        policy=(ratio - 10) * one,
        reference=-10 * one,
        desirable=wanted * one,
        undesirable=unwanted * one,
        baseline=torch.tensor(baseline, dtype=torch.float64),
    )


class Free(nn.Module):
    """A policy whose targets have the log-probabilities that it is given, and for WPO the collisions."""

    def __init__(self, logprobs: Tensor, collision: Tensor) -> None:
        super().__init__()
        self.logprobs, self.collision = logprobs, collision

    def forward(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """input_ids of targets name the place."""
        return self.logprobs[batch.target_ids], self.collision[batch.target_ids]


class Plain(Free):
    """The same without collisions, as a Policy is."""

    def forward(self, batch: PackedBatch) -> Tensor:  # type: ignore[override]
        return self.logprobs[batch.target_ids]


LENGTHS = [3, 1, 2, 4, 2]  # of the answers in `numbers`: three to one prompt, two to another
TOKENS = sum(LENGTHS)


def numbers(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of policy and reference, and collisions, of TOKENS targets. Float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand((3, TOKENS), generator=generator, dtype=torch.float64)
    return -0.2 - 2 * drawn[0], -0.2 - 2 * drawn[1], -0.1 - drawn[2]


def examples() -> list[Example]:
    """Answers whose target tokens are numbered 0 to TOKENS − 1, after a prompt of two tokens."""
    ids = iter(range(TOKENS))
    return [Example((90, 91, *(next(ids) for _ in range(length))), answer=2) for length in LENGTHS]


def preference_batch(reference: Tensor, *, margin: float = 0.0) -> PreferenceBatch:
    """Four pairs: 0 ≻ 1, 0 ≻ 2 and 2 ≻ 1 of the first prompt, 3 ≻ 4 of the second."""
    return PreferenceBatch(
        pairs=PairBatch(
            packed=pack(examples()),
            chosen=torch.tensor([0, 0, 2, 3]),
            rejected=torch.tensor([1, 2, 1, 4]),
            target=torch.ones(4, dtype=torch.float64),
            margin=torch.full((4,), margin, dtype=torch.float64),
            weight=torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.5], dtype=torch.float64),
        ),
        reference=reference,
    )


def part(batch: PreferenceBatch, answers: slice, pairs: slice) -> PreferenceBatch:
    """Some answers of a batch, and the pairs between them, as a batch of their own."""
    lengths = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]
    first, last = answers.start, answers.stop
    whole = batch.pairs
    return PreferenceBatch(
        pairs=PairBatch(
            packed=pack(examples()[answers]),
            chosen=whole.chosen[pairs] - first,
            rejected=whole.rejected[pairs] - first,
            target=whole.target[pairs],
            margin=whole.margin[pairs],
            weight=whole.weight[pairs],
        ),
        reference=batch.reference[lengths[first] : lengths[last]],
    )


def label_batch(reference: Tensor, *, baseline: float = 0.0) -> LabelBatch:
    """The same answers, labelled; the third one both ways."""
    return LabelBatch(
        packed=pack(examples()),
        reference=reference,
        desirable=torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0], dtype=torch.float64),
        undesirable=torch.tensor([0.0, 1.0, 0.5, 0.0, 0.25], dtype=torch.float64),
        baseline=torch.tensor(baseline, dtype=torch.float64),
    )


def label_part(batch: LabelBatch, answers: slice) -> LabelBatch:
    lengths = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]
    return replace(
        batch,
        packed=pack(examples()[answers]),
        reference=batch.reference[lengths[answers.start] : lengths[answers.stop]],
        desirable=batch.desirable[answers],
        undesirable=batch.undesirable[answers],
    )
