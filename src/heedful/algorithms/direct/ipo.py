"""Identity preference optimisation (Azar 2023, arXiv:2310.12036)."""

from __future__ import annotations

from dataclasses import replace

from heedful.algorithms.direct.pairs import PairLoss, Pairs, Side


def ipo_loss(pairs: Pairs, *, tau: float) -> PairLoss:
    """(h − 1/(2τ))². eq. 17; h is a difference of sums over tokens, or of whatever the sides hold. (P,)

    The margin is pulled to its target from both sides. At π = π_ref it is 1/(4τ²).
    """
    target = 1 / (2 * tau)
    loss = (pairs.h - target).square()
    start = loss.new_full(loss.shape, target**2)
    return PairLoss(loss, start, tau * pairs.chosen.ratio, tau * pairs.rejected.ratio)


def length_averaged(pairs: Pairs) -> Pairs:
    """Each answer's log-probabilities divided by its tokens: d becomes d/|y|."""
    return replace(pairs, chosen=_mean(pairs.chosen), rejected=_mean(pairs.rejected))


def _mean(side: Side) -> Side:
    return replace(side, policy=side.policy / side.length, reference=side.reference / side.length)
