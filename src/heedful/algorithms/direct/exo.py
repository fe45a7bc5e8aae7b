"""Efficient exact optimisation for pairs (Ji 2024, arXiv:2402.00856)."""

from __future__ import annotations

from math import log, log1p

from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def exo_loss(pairs: Pairs, *, beta: float, epsilon: float) -> PairLoss:
    """KL(q ‖ p), q = [σ(β h), σ(−β h)], p = [1 − ε, ε]. eq. 16 (P,)

    The reverse KL, from the policy to the label, where DPO and cDPO take the forward one. Least at σ(β h) = 1 − ε. At
    π = π_ref it is −ln 2 − ½ ln(ε (1 − ε)).
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio
    log_win, log_lose = logsigmoid(chosen - rejected), logsigmoid(rejected - chosen)
    loss = log_win.exp() * (log_win - log1p(-epsilon)) + log_lose.exp() * (log_lose - log(epsilon))
    start = -log(2) - 0.5 * (log(epsilon) + log1p(-epsilon))
    return PairLoss(loss, loss.new_full(loss.shape, start), chosen, rejected)
