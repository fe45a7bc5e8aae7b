"""DPO-positive (Pal 2024, Smaug, arXiv:2402.13228)."""

from __future__ import annotations

from torch import relu
from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def dpop_loss(pairs: Pairs, *, beta: float, penalty: float) -> PairLoss:
    """−log σ(β (h − λ max(0, −d_w)) − m). (P,)

    As soon as the chosen answer is less likely than under the reference, raising it is worth λ + 1 times as much as
    lowering the rejected one. At π = π_ref and without a margin it is ln 2.
    """
    up, down = pairs.chosen.ratio, pairs.rejected.ratio
    chosen, rejected = beta * (up - penalty * relu(-up)), beta * down
    return PairLoss(-logsigmoid(chosen - rejected - pairs.margin), -logsigmoid(-pairs.margin), chosen, rejected)
