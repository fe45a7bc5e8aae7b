"""DPO and the likelihood of the chosen answer (iterative RPO, Pang 2024, arXiv:2404.19733; Liu 2024)."""

from __future__ import annotations

from dataclasses import replace

from heedful.algorithms.direct.dpo import dpo_loss
from heedful.algorithms.direct.pairs import PairLoss, Pairs


def rpo_loss(pairs: Pairs, *, beta: float, alpha: float) -> PairLoss:
    """−log σ(β h − m) − α log π(y_w)/|y_w|. (P,)

    The second term keeps the chosen answer from losing probability. At π = π_ref it is DPO's start and the
    reference's own α (−log π_ref(y_w)/|y_w|).
    """
    dpo, length = dpo_loss(pairs, beta=beta), pairs.chosen.length
    return replace(
        dpo,
        loss=dpo.loss - alpha * pairs.chosen.policy / length,
        start=dpo.start - alpha * pairs.chosen.reference / length,
    )
