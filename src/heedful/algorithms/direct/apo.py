"""Anchored preference optimisation (D'Oosterlinck 2024, arXiv:2408.06266): how the likelihoods move is a choice."""

from __future__ import annotations

from torch import sigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def apo_zero_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """1 − σ(β d_w) + σ(β d_l): chosen up, rejected down. eq. 7; at π = π_ref it is 1. (P,)"""
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    loss = 1 - sigmoid(chosen) + sigmoid(rejected)
    return PairLoss(loss, loss.new_ones(loss.shape), chosen, rejected)


def apo_down_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """σ(β d_w) + 1 − σ(β h): both down, the rejected further. eq. 8; at π = π_ref it is 1. (P,)"""
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    loss = sigmoid(chosen) + 1 - sigmoid(chosen - rejected)
    return PairLoss(loss, loss.new_ones(loss.shape), chosen, rejected)
