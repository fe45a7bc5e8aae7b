"""Odds-ratio preference optimisation without a reference (Hong 2024, arXiv:2403.07691)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs

CERTAIN = -1e-6  # a mean log-probability nearer to 0 has no finite odds in float32


def orpo_loss(pairs: Pairs, *, weight: float) -> PairLoss:
    """−log P(y_w) − λ log σ(log odds(y_w) − log odds(y_l)), P = exp(mean_t log π(y_t)). eqs. 6 and 7 (P,)

    The first term is SFT on the chosen answer, so that this one stage may stand in for SFT and DPO.
    """
    chosen_mean = pairs.chosen.policy / pairs.chosen.length
    chosen, rejected = log_odds(chosen_mean), log_odds(pairs.rejected.policy / pairs.rejected.length)
    loss = -chosen_mean - weight * logsigmoid(chosen - rejected)
    return PairLoss(loss, loss.detach(), weight * chosen, weight * rejected)


def log_odds(logprob: Tensor) -> Tensor:
    """log P − log(1 − P) of log P < 0."""
    logprob = logprob.clamp(max=CERTAIN)
    return logprob - torch.log(-torch.expm1(logprob))  # 1 − P = −expm1(log P)
