"""Length-desensitised DPO (Liu 2024, arXiv:2409.06411)."""

from __future__ import annotations

from dataclasses import replace

from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.pairs import PairLoss, Pairs, Side


def ld_dpo_loss(whole: Pairs, shared: Pairs, *, beta: float, alpha: float) -> PairLoss:
    """DPO in which log π(y) is Σ_{t ≤ n} log π(y_t) + α Σ_{t > n} log π(y_t), n = min(|y_w|, |y_l|). (P,)

    `whole` has sums over all tokens, `shared` over the first n. At π = π_ref and without a margin it is ln 2.
    """
    chosen, rejected = _fade(whole.chosen, shared.chosen, alpha), _fade(whole.rejected, shared.rejected, alpha)
    return dpo_loss(replace(whole, chosen=chosen, rejected=rejected), beta=beta)


def _fade(whole: Side, shared: Side, alpha: float) -> Side:
    """Tokens beyond the shared length count α: shared + α (whole − shared)."""
    policy = shared.policy + alpha * (whole.policy - shared.policy)
    return replace(whole, policy=policy, reference=shared.reference + alpha * (whole.reference - shared.reference))
