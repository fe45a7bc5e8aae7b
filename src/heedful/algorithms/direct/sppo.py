"""Self-play preference optimisation with hard labels (Wu 2024, arXiv:2405.00675)."""

from __future__ import annotations

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def sppo_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """(d_w − 1/(2β))² + (d_l + 1/(2β))². eq. 4.7 with P = 1 for the winner and 0 for the loser. (P,)

    Each answer has a target of its own, so that the chosen one rises. At π = π_ref it is 1/(2β²).
    """
    target = 1 / (2 * beta)
    up, down = pairs.chosen.ratio, pairs.rejected.ratio
    loss = (up - target).square() + (down + target).square()
    return PairLoss(loss, loss.new_full(loss.shape, 2 * target**2), beta * up, beta * down)
