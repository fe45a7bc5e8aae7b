"""DPO for labels of which a share ε is flipped: conservative (Mitchell 2023) and robust (Chowdhury 2024)."""

from __future__ import annotations

from math import log

from torch import Tensor
from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def cdpo_loss(pairs: Pairs, *, beta: float, epsilon: float) -> PairLoss:
    """−(1 − ε) log σ(β h) − ε log σ(−β h): the label is 1 − ε instead of 1. (P,)

    Least at σ(β h) = 1 − ε, so no pair is pushed for ever. At π = π_ref it is ln 2.
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    right, flipped = _both_ways(chosen - rejected)
    loss = (1 - epsilon) * right + epsilon * flipped
    return PairLoss(loss, loss.new_full(loss.shape, log(2)), chosen, rejected)


def robust_loss(pairs: Pairs, *, beta: float, epsilon: float) -> PairLoss:
    """[(1 − ε) L(w, l) − ε L(l, w)] / (1 − 2ε): over flips of rate ε its mean is DPO's clean loss. (P,)

    Unbounded below as h grows, so it wants a gradient clip and few epochs. At π = π_ref it is ln 2.
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    right, flipped = _both_ways(chosen - rejected)
    loss = ((1 - epsilon) * right - epsilon * flipped) / (1 - 2 * epsilon)
    return PairLoss(loss, loss.new_full(loss.shape, log(2)), chosen, rejected)


def _both_ways(z: Tensor) -> tuple[Tensor, Tensor]:
    """DPO's loss of the label as it is, and of the opposite one. (P,), (P,)"""
    return -logsigmoid(z), -logsigmoid(-z)
