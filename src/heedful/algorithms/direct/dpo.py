"""Direct preference optimisation (Rafailov 2023, arXiv:2305.18290), with the raters' margins (Amini 2024)."""

from __future__ import annotations

from torch.nn.functional import logsigmoid

from heedful.algorithms.direct.pairs import PairLoss, Pairs


def dpo_loss(pairs: Pairs, *, beta: float) -> PairLoss:
    """−log σ(β h − m). eq. 7; m is 0 where nobody gave a margin. (P,)

    Its gradient pushes h up by β σ(m − β h): the weight of a pair that the policy has wrong is larger. At π = π_ref
    and without a margin it is ln 2.
    """
    chosen, rejected = beta * pairs.chosen.ratio, beta * pairs.rejected.ratio  # implicit rewards, up to β log Z(x)
    return PairLoss(
        loss=-logsigmoid(chosen - rejected - pairs.margin),
        start=-logsigmoid(-pairs.margin),
        chosen=chosen,
        rejected=rejected,
    )
