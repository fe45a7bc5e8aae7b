"""Weighted preference optimisation (Zhou 2024, arXiv:2406.11827): pairs as if the policy itself had written them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.pairs import PairLoss, Pairs


def wpo_loss(pairs: Pairs, chosen: Tensor, rejected: Tensor, *, beta: float) -> PairLoss:
    """w(y_w) w(y_l) · −log σ(β h − m), w(y) = exp mean_t [log π(y_t) − log Σ_v π(v)²], constant. eq. 2 (P,)

    `chosen` and `rejected` are the means in the exponent. An answer drawn token by token from π has w near 1, one that
    π would hardly write has w near 0.
    """
    dpo = dpo_loss(pairs, beta=beta)
    weight = (chosen + rejected).detach().exp()
    return replace(dpo, loss=weight * dpo.loss, start=weight * dpo.start)
