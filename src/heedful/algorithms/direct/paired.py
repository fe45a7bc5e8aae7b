"""The objective of every paired loss: one forward pass, one loss, the same metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor, nn

from heedful.algorithms.direct.apo import apo_down_loss, apo_zero_loss
from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.dpo_norm import dpo_norm_loss
from heedful.algorithms.direct.dpop import dpop_loss
from heedful.algorithms.direct.exo import exo_loss
from heedful.algorithms.direct.hinge import hinge_loss
from heedful.algorithms.direct.ipo import ipo_loss, length_averaged
from heedful.algorithms.direct.ld_dpo import ld_dpo_loss
from heedful.algorithms.direct.nca import nca_loss
from heedful.algorithms.direct.orpo import orpo_loss
from heedful.algorithms.direct.pairs import PairLoss, Pairs, TokenPairs
from heedful.algorithms.direct.rpo import rpo_loss
from heedful.algorithms.direct.simpo import simpo_loss
from heedful.algorithms.direct.smoothed import cdpo_loss, robust_loss
from heedful.algorithms.direct.sppo import sppo_loss
from heedful.algorithms.direct.wpo import wpo_loss
from heedful.batches import LossOutput, PreferenceBatch
from heedful.config.direct import (
    APODownLoss,
    APOZeroLoss,
    CDPOLoss,
    DPOLoss,
    DPONormLoss,
    DPOPLoss,
    EXOLoss,
    HingeLoss,
    IPOLoss,
    LDDPOLoss,
    NCALoss,
    ORPOLoss,
    PairedLoss,
    RobustLoss,
    RPOLoss,
    SimPOLoss,
    SPPOLoss,
    WPOLoss,
)


def pair_loss(loss: PairedLoss, tokens: TokenPairs) -> PairLoss:
    """The loss that a config names, of every pair. (P,)"""
    pairs = tokens.whole()
    match loss:
        case DPOLoss():
            return dpo_loss(pairs, beta=loss.beta)
        case CDPOLoss():
            return cdpo_loss(pairs, beta=loss.beta, epsilon=loss.epsilon)
        case RobustLoss():
            return robust_loss(pairs, beta=loss.beta, epsilon=loss.epsilon)
        case IPOLoss():
            return ipo_loss(length_averaged(pairs) if loss.length_average else pairs, tau=loss.tau)
        case HingeLoss():
            return hinge_loss(pairs, beta=loss.beta)
        case SimPOLoss():
            return simpo_loss(pairs, beta=loss.beta, gamma=loss.gamma)
        case ORPOLoss():
            return orpo_loss(pairs, weight=loss.weight)
        case DPONormLoss():
            return dpo_norm_loss(pairs, beta=loss.beta)
        case RPOLoss():
            return rpo_loss(pairs, beta=loss.beta, alpha=loss.alpha)
        case DPOPLoss():
            return dpop_loss(pairs, beta=loss.beta, penalty=loss.penalty)
        case NCALoss():
            return nca_loss(pairs, beta=loss.beta)
        case APOZeroLoss():
            return apo_zero_loss(pairs, beta=loss.beta)
        case APODownLoss():
            return apo_down_loss(pairs, beta=loss.beta)
        case SPPOLoss():
            return sppo_loss(pairs, beta=loss.beta)
        case EXOLoss():
            return exo_loss(pairs, beta=loss.beta, epsilon=loss.epsilon)
        case WPOLoss():
            return wpo_loss(pairs, *tokens.concentration(), beta=loss.beta)
        case LDDPOLoss():
            return ld_dpo_loss(pairs, tokens.shared(), beta=loss.beta, alpha=loss.alpha)
    assert_never(loss)


def paired_objective(loss: PairedLoss) -> Callable[[nn.Module, PreferenceBatch], LossOutput]:
    """What `fit` calls with a Policy; for WPO with a Policy that also tells how concentrated it is."""

    def objective(model: nn.Module, batch: PreferenceBatch) -> LossOutput:
        told: Tensor | tuple[Tensor, Tensor] = model(batch.pairs.packed)
        logprobs, collision = told if isinstance(told, tuple) else (told, told.new_zeros(0))
        tokens = TokenPairs(batch, logprobs, collision)
        return _summed(pair_loss(loss, tokens), tokens.whole(), batch.pairs.weight)

    return objective


def _summed(found: PairLoss, pairs: Pairs, weight: Tensor) -> LossOutput:
    """Σ w · loss, counted by Σ w, with the same metrics for every loss."""
    with torch.no_grad():
        margin = found.chosen - found.rejected
        metrics = {
            "loss/start": found.start,
            "rewards/chosen": found.chosen,
            "rewards/rejected": found.rejected,
            "rewards/margin": margin,
            "rewards/accuracy": 0.5 + 0.5 * torch.sign(margin),  # equal counts half, so that a new policy has ½
            "logps/chosen": pairs.chosen.ratio,  # drift: below 0 = displacement
            "logps/rejected": pairs.rejected.ratio,
        }
        sums = {name: (weight * value).sum() for name, value in metrics.items()}
    return LossOutput((weight * found.loss).sum(), weight.sum(), sums)
