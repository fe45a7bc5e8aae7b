"""What each answer is credited with where no critic stands by: its siblings are the baseline.

Shapes: B answers, N tokens of all answers laid end to end, G answers to one prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.algorithms.on_policy.ppo import token_rewards
from heedful.batches import Rollout
from heedful.config.rl import CISPO, DAPO, GRPO, GSPO, RLOO, SAPO, DrGRPO, NashMD, PolicyGradient, ReinforcePP
from heedful.ops.advantages import centred, leave_one_out, standardised, to_go
from heedful.ops.kl import k1
from heedful.ops.logprobs import sequence_sums


def leashed(rollout: Rollout, *, beta: float) -> Tensor:
    """The score less what the whole answer's distance costs: s − β Σ_t log π_old/π_ref. -> (B,)"""
    distance = k1(rollout.policy_logprobs - rollout.reference_logprobs)
    return rollout.scores - beta * sequence_sums(distance, rollout.packed.target_lengths)


def rewards_of(algorithm: PolicyGradient, rollout: Rollout, *, beta: float) -> Tensor:
    """What each answer is paid, the KL taken from it where the algorithm has it in the reward. -> (B,)"""
    match algorithm:
        case RLOO() | NashMD() | ReinforcePP():
            return leashed(rollout, beta=beta)
        case GRPO() | DrGRPO() | DAPO() | GSPO() | CISPO() | SAPO():
            return leashed(rollout, beta=beta) if algorithm.penalty == "reward" else rollout.scores


def token_advantages(algorithm: PolicyGradient, rollout: Rollout, *, beta: float) -> Tensor:
    """Each token's advantage, before REINFORCE++'s whitening over the rollout. -> (N,)

    RLOO (Ahmadian 2024), Nash-MD:  A = r − mean of the siblings
    GRPO (Shao 2024, §4.1.2), DAPO, GSPO, CISPO, SAPO:  A = (r − mean)/std of the group
    Dr. GRPO (Liu 2025, §3.2), GRPO without the scale:  A = r − mean of the group
    REINFORCE++ (Hu 2025):  A_t = what is still to come, s − β Σ_{t' ≥ t} k1
    """
    match algorithm:
        case ReinforcePP():
            return to_go(token_rewards(rollout, beta=beta), rollout.packed.target_lengths)
        case _:
            rewards = rewards_of(algorithm, rollout, beta=beta)
            advantages = sequence_advantages(algorithm, rewards, rollout.groups)
            return torch.repeat_interleave(advantages, rollout.packed.target_lengths)


def sequence_advantages(algorithm: PolicyGradient, rewards: Tensor, groups: Tensor) -> Tensor:
    """An answer's reward beside its siblings'. (B,), (B,) -> (B,)"""
    match algorithm:
        case RLOO() | NashMD():
            return leave_one_out(rewards, groups)
        case DrGRPO() | GRPO(scale="none"):
            return centred(rewards, groups)
        case GRPO() | DAPO() | GSPO() | CISPO() | SAPO():
            return standardised(rewards, groups)
        case ReinforcePP():
            return rewards


def wins(scores: Tensor, groups: Tensor, opponents: Tensor, opponents_groups: Tensor) -> Tensor:
    """How often each answer beats the opponent's answers to its prompt: mean σ(s − s') (Bradley-Terry). -> (B,)"""
    same = (groups[:, None] == opponents_groups[None, :]).to(scores.dtype)  # (B, opponents)
    beats = torch.sigmoid(scores[:, None] - opponents[None, :])
    return (same * beats).sum(1) / same.sum(1)
