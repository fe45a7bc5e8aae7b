"""What online DPO and XPO make of a rollout: pairs of answers, and which of the two is preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import torch
from torch import Tensor

from heedful.algorithms.on_policy.duels import preference
from heedful.batches import DuelBatch, PairBatch, TextBatch
from heedful.config import RLConfig
from heedful.config.rl import Contrastive
from heedful.data.packing import pack
from heedful.ops.logprobs import sequence_sums
from heedful.train.minibatches import Experience, flat
from heedful.train.opponents import Opponent
from heedful.train.rollout import Collected
from heedful.train.rollout_log import group_metrics, rollout_metrics

Duels = list[tuple[int, int]]


class DuelMethod:
    """Online DPO, without opponents: every two of the policy's answers to a prompt. XPO: each of them against each of
    the reference's, since both lie in order of length and pairs by place would compare like lengths."""

    rounds = 1
    together = True

    def __init__(self, algorithm: Contrastive, config: RLConfig, *opponents: Opponent) -> None:
        self.algorithm, self.config, self.opponents = algorithm, config, opponents

    def experience(self, iteration: int, collected: Collected, beta: float) -> tuple[Experience, Mapping[str, float]]:
        """Pairs within a prompt, which weigh 1 together."""
        own = len(collected.examples)
        metrics = rollout_metrics(collected, self.config.rewards, beta=beta)
        metrics |= group_metrics(collected)
        parts = [collected, *(opponent.collected(iteration, collected) for opponent in self.opponents)]
        examples = [example for part in parts for example in part.examples]
        scores = torch.cat([part.rollout.scores for part in parts])
        reference = torch.cat([_sums(part, part.rollout.reference_logprobs) for part in parts])
        units = _units(torch.cat([part.rollout.groups for part in parts]))
        foreign = torch.tensor([float(i >= own) for i in range(len(examples))])

        def duels(unit: Sequence[int]) -> Duels:
            mine, theirs = [i for i in unit if i < own], [i for i in unit if i >= own]
            return list(product(mine, theirs)) if theirs else list(combinations(unit, 2))

        def batch(chosen: Sequence[Sequence[int]], text: TextBatch) -> DuelBatch:
            answers = flat(chosen)
            place = {answer: position for position, answer in enumerate(answers)}
            pairs = [(duel, 1.0 / len(found)) for unit in chosen for found in [duels(unit)] for duel in found]
            first, second = (torch.tensor([duel[side] for duel, _ in pairs]) for side in (0, 1))
            return DuelBatch(
                pairs=PairBatch(
                    packed=pack([examples[i] for i in answers]),
                    chosen=torch.tensor([place[int(i)] for i in first]),
                    rejected=torch.tensor([place[int(i)] for i in second]),
                    target=preference(scores[first], scores[second], self.algorithm.labels),
                    margin=torch.zeros(len(pairs)),
                    weight=torch.tensor([weight for _, weight in pairs]),
                ),
                reference=reference[answers],
                foreign=foreign[answers],
                kl_coefficient=torch.tensor(beta),
                text=text,
            )

        experience = Experience(
            examples=examples,
            old_logprobs=torch.cat([part.rollout.policy_logprobs for part in parts]),
            units=units,
            count=lambda chosen: float(len(chosen)),
            batch=batch,
            with_text=True,
        )
        return experience, metrics


def _sums(part: Collected, logprobs: Tensor) -> Tensor:
    return sequence_sums(logprobs, part.rollout.packed.target_lengths)


def _units(groups: Tensor) -> list[list[int]]:
    """The answers to each prompt, in the order of the prompts' numbers."""
    units: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        units.setdefault(group, []).append(i)
    return [units[group] for group in sorted(units)]
