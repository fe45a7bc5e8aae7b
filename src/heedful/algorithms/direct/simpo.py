"""Simple preference optimisation without a reference (Meng 2024, arXiv:2405.14734)."""

from __future__ import annotations

from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def simpo_loss(pairs: Pairs, *, beta: float, gamma: float) -> PairLoss:
    """−log σ(β/|y_w| log π(y_w) − β/|y_l| log π(y_l) − γ − m). eq. 6 (P,)

    Nothing holds the policy to where it began but the learning rate.
    """
    chosen = beta * pairs.chosen.policy / pairs.chosen.length
    rejected = beta * pairs.rejected.policy / pairs.rejected.length
    loss = -logsigmoid(chosen - rejected - gamma - pairs.margin)
    return PairLoss(loss, loss.detach(), chosen, rejected)
