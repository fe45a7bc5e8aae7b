"""Noise-contrastive alignment for pairs (Chen 2024, arXiv:2402.05369)."""

from __future__ import annotations

from math import log

from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def nca_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """−log σ(r_w) − ½ log σ(−r_w) − ½ log σ(−r_l), r = β d. (P,)

    Each answer stands for itself: the first two terms pull r_w to ln 2, the third pushes r_l down. At π = π_ref it
    is 2 ln 2.
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    loss = -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)
    return PairLoss(loss, loss.new_full(loss.shape, 2 * log(2)), chosen, rejected)
