"""DPO on log-ratios divided by length (Lambert 2024, Tülu 3, arXiv:2411.15124)."""

from __future__ import annotations

from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.ipo import length_averaged
from heedful.algorithms.direct.pairs import PairLoss, Pairs


def dpo_norm_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """−log σ(β (d_w/|y_w| − d_l/|y_l|) − m). (P,)

    A long answer can't win by its length alone. β is per token. At π = π_ref and without a margin it is ln 2.
    """
    return dpo_loss(length_averaged(pairs), beta=beta)
