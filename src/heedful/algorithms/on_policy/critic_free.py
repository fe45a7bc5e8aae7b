"""Policy gradients without a critic: RLOO, GRPO, Dr. GRPO, REINFORCE++, DAPO, GSPO, CISPO, SAPO, and Nash-MD's step.

They differ in three things, each a function here: what ratio they take, what they make of it, and how tokens are
averaged. Shapes: B answers, N tokens of all answers laid end to end; ρ = π/π_old, A the advantage.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor, nn

from heedful.algorithms.on_policy.ppo import clipped
from heedful.batches import GroupBatch, LossOutput
from heedful.config.rl import CISPO, DAPO, GRPO, GSPO, RLOO, SAPO, DrGRPO, NashMD, PolicyGradient, ReinforcePP
from heedful.ops.kl import k2, k3
from heedful.ops.logprobs import sequence_sums


def of_actions(algorithm: PolicyGradient, logprobs: Tensor, lengths: Tensor) -> Tensor:
    """Log-probabilities, or differences of them, of the algorithm's actions: tokens, or the whole answer, said at each
    of its tokens. (N,) -> (N,)"""
    match algorithm:
        case RLOO() | NashMD():  # ρ = Π_t ρ_t
            sequence = sequence_sums(logprobs, lengths)
        case GSPO():  # ρ = (Π_t ρ_t)^(1/|y|) (Zheng 2025)
            sequence = sequence_sums(logprobs, lengths) / lengths
        case _:
            return logprobs
    return torch.repeat_interleave(sequence, lengths)


def bounds(algorithm: PolicyGradient) -> tuple[float, float]:
    """Between which ratios an algorithm learns freely."""
    match algorithm:
        case DAPO() | GSPO():
            return 1.0 - algorithm.clip_low, 1.0 + algorithm.clip_high
        case CISPO():
            return 0.0, algorithm.clip_high
        case SAPO():
            return 0.0, inf
        case RLOO() | GRPO() | DrGRPO() | ReinforcePP() | NashMD():
            return 1.0 - algorithm.clip, 1.0 + algorithm.clip


def clipped_weight(ratio: Tensor, advantages: Tensor, logprobs: Tensor, high: float) -> Tensor:
    """−sg(min(ρ, high)) A log π: the weight is cut, the gradient never (MiniMax 2025). (N,) each -> (N,)"""
    return -ratio.clamp(max=high).detach() * advantages * logprobs


def gated(ratio: Tensor, advantages: Tensor, positive: float, negative: float) -> Tensor:
    """−A σ(T(ρ − 1)) 4/T, T by the sign of A: slope −A at ρ = 1, fading on both sides (Gao 2025). (N,), (N,) -> (N,)"""
    temperature = torch.where(advantages > 0, positive, negative)
    return -advantages * torch.sigmoid(temperature * (ratio - 1.0)) * 4.0 / temperature


def surrogate(algorithm: PolicyGradient, ratio: Tensor, logprobs: Tensor, advantages: Tensor) -> Tensor:
    """What each token costs. (N,) each -> (N,)"""
    low, high = bounds(algorithm)
    match algorithm:
        case CISPO():
            return clipped_weight(ratio, advantages, logprobs, high)
        case SAPO():
            return gated(ratio, advantages, algorithm.temperature_positive, algorithm.temperature_negative)
        case _:
            return clipped(ratio, advantages, low, high)


def penalty_of(algorithm: PolicyGradient, log_ratio_to_reference: Tensor, ratio: Tensor, exact: Tensor) -> Tensor:
    """The KL at each token as it stands in the loss, nought where it stands in the reward. (N,) each -> (N,)

    On fresh samples the gradients of k2, of k3 times the ratio and of the exact KL are that of KL(π ‖ π_ref) at the
    token; k3's alone is that of KL(π_ref ‖ π), so GRPO as it was published settles elsewhere. k1's is nought, and it
    is not offered.
    """
    match algorithm:
        case RLOO() | NashMD() | ReinforcePP():
            return torch.zeros_like(log_ratio_to_reference)
        case _:
            match algorithm.penalty:
                case "reward":
                    return torch.zeros_like(log_ratio_to_reference)
                case "k2":
                    return k2(log_ratio_to_reference)
                case "k3":
                    return k3(log_ratio_to_reference)
                case "k3_weighted":  # importance-corrected (DeepSeek-AI 2025, V3.2)
                    return ratio * k3(log_ratio_to_reference)
                case "exact":
                    return exact


def counts_tokens(algorithm: PolicyGradient) -> bool:
    """Whether a step is divided by its tokens, each weighing alike; else by its answers."""
    return isinstance(algorithm, DAPO | CISPO | ReinforcePP)


def token_weights(algorithm: PolicyGradient, lengths: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """What a token weighs in the loss and in what is logged, before the step's division. (B,) -> (N,), (N,)

    Tokens alike (DAPO, CISPO, REINFORCE++); a mean over each answer (GRPO, GSPO, SAPO, and RLOO, whose tokens all stand
    for the answer); Dr. GRPO's constant 1/L_max, so that no length is favoured. What is logged is always a mean.
    """
    mean = torch.repeat_interleave(1.0 / lengths, lengths)
    if counts_tokens(algorithm):
        return torch.ones_like(mean), torch.ones_like(mean)
    return (torch.full_like(mean, 1.0 / limit), mean) if isinstance(algorithm, DrGRPO) else (mean, mean)


def critic_free_loss(
    logprobs: Tensor,
    exact_kl: Tensor,
    text_logprobs: Tensor,
    batch: GroupBatch,
    algorithm: PolicyGradient,
    *,
    limit: int,
) -> LossOutput:
    """Σ_t w_t (surrogate + β KL) − w Σ log-likelihood of the text mixed in. (N,), (N,), (M,) -> sums

    `limit`: the most tokens of an answer. `exact_kl` is read where the algorithm's penalty is `exact`.
    """
    lengths = batch.packed.target_lengths
    log_ratio = logprobs - batch.old_logprobs
    ratio = of_actions(algorithm, log_ratio, lengths).exp()
    weights, logged = token_weights(algorithm, lengths, limit)
    policy = weights * batch.importance * surrogate(algorithm, ratio, logprobs, batch.advantages)
    distance = penalty_of(algorithm, logprobs - batch.reference_logprobs, log_ratio.exp(), exact_kl)
    kl = batch.kl_coefficient * weights * distance
    text = -batch.text.weight * text_logprobs.sum()
    low, high = bounds(algorithm)
    with torch.no_grad():
        metrics = {
            "loss/policy": policy.sum(),
            "loss/kl": kl.sum(),
            "loss/text": text.detach(),
            "ratio/mean": (logged * ratio).sum(),
            "ratio/variance": (logged * (ratio - 1.0).square()).sum(),
            "ratio/clipped": (logged * ((ratio < low) | (ratio > high))).sum(),
            "ratio/kl": (logged * k2(log_ratio)).sum(),
        }
    count = float(len(logprobs)) if counts_tokens(algorithm) else float(len(lengths))
    return LossOutput(policy.sum() + kl.sum() + text, torch.tensor(count, device=logprobs.device), metrics)


def critic_free_objective(
    algorithm: PolicyGradient, temperature: float, *, limit: int
) -> Callable[[nn.Module, GroupBatch], LossOutput]:
    """What `fit` calls with an Actor. The temperature is the one that the answers were sampled at."""

    def objective(model: nn.Module, batch: GroupBatch) -> LossOutput:
        logprobs, exact_kl, text_logprobs = model(batch.packed, batch.text.packed, temperature)
        return critic_free_loss(logprobs, exact_kl, text_logprobs, batch, algorithm, limit=limit)

    return objective
