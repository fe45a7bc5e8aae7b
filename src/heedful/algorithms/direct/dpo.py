"""Direct preference optimisation (Rafailov 2023): the pure loss and the objective.

Shapes: B answers, P pairs, N tokens. Log-probabilities of an answer are sums over its tokens, not means.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from heedful.batches import LossOutput, PreferenceBatch
from heedful.ops.logprobs import sequence_sums


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    weight: Tensor,
    *,
    beta: float,
) -> LossOutput:
    """Σ w · −log σ(β h), h = (log π − log π_ref)(chosen) − (log π − log π_ref)(rejected). eq. 7. All (P,) -> sums

    Its gradient pushes h up by β σ(−β h): the weight of a pair that the policy has wrong is larger. At π = π_ref it is
    ln 2. `count` is the sum of the weights.
    """
    chosen = beta * (policy_chosen - reference_chosen)  # the implicit rewards, up to log Z(x)
    rejected = beta * (policy_rejected - reference_rejected)
    margin = chosen - rejected
    loss = -(weight * logsigmoid(margin)).sum()
    with torch.no_grad():
        right = (margin > 0).float() + 0.5 * (margin == 0).float()  # equal counts half, so that a new policy has ½
        metrics = {
            "rewards/chosen": (weight * chosen).sum(),
            "rewards/rejected": (weight * rejected).sum(),
            "rewards/margin": (weight * margin).sum(),
            "rewards/accuracy": (weight * right).sum(),
            "logps/chosen": (weight * (policy_chosen - reference_chosen)).sum(),  # drift: below 0 = displacement
            "logps/rejected": (weight * (policy_rejected - reference_rejected)).sum(),
        }
    return LossOutput(loss, weight.sum(), metrics)


def dpo_objective(beta: float) -> Callable[[nn.Module, PreferenceBatch], LossOutput]:
    """What `fit` calls with a Policy."""

    def objective(model: nn.Module, batch: PreferenceBatch) -> LossOutput:
        pairs = batch.pairs
        answers: Tensor = sequence_sums(model(pairs.packed), pairs.packed.target_lengths)  # (B,)
        return dpo_loss(
            answers[pairs.chosen],
            answers[pairs.rejected],
            batch.reference[pairs.chosen],
            batch.reference[pairs.rejected],
            pairs.weight,
            beta=beta,
        )

    return objective
