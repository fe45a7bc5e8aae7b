"""The hinge on log-ratios: SLiC-HF's rank loss (Zhao 2023, arXiv:2305.10425) as RSO writes it (Liu 2023)."""

from __future__ import annotations

from torch import relu

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def hinge_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """max(0, 1 − (β h − m)). (P,)

    A pair whose margin is 1/β nats or more pulls no longer. At π = π_ref and without a margin it is 1.
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    return PairLoss(relu(1 - (chosen - rejected - pairs.margin)), relu(1 + pairs.margin), chosen, rejected)
