"""A rollout cut into minibatches of whole answers, and these into micro-batches that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heedful.algorithms.on_policy.ppo import Advantages
from heedful.batches import Rollout, RolloutBatch
from heedful.data.packing import Example, groups_by_tokens, pack


def _tokens_of(lengths: Tensor, answers: Sequence[int]) -> Tensor:
    """Where the tokens of some answers stand in the rollout's flat (N,), in the order of the answers."""
    starts = lengths.cumsum(0) - lengths
    return torch.cat([torch.arange(int(starts[i]), int(starts[i] + lengths[i])) for i in answers])


def micro_batches(
    examples: Sequence[Example],
    rollout: Rollout,
    advantages: Advantages,
    answers: Sequence[int],
    text: Sequence[Example],
    *,
    text_coefficient: float,
    tokens: int,
) -> list[RolloutBatch]:
    """One minibatch as batches of at most `tokens` prompt and answer tokens; the text is dealt out over them.

    The text's summed log-likelihood weighs γ · (answer tokens of the minibatch) / (text targets of the minibatch) in
    each of them, so that any cut gives the same gradient.
    """
    ordered = sorted(answers, key=lambda i: len(examples[i].ids))
    sizes = [len(examples[i].ids) for i in ordered]
    groups = [[ordered[place] for place in group] for group in groups_by_tokens(sizes, tokens)]
    lengths = rollout.packed.target_lengths
    answer_tokens, text_tokens = int(lengths[ordered].sum()), sum(example.targets for example in text)
    weight = torch.tensor(text_coefficient * answer_tokens / text_tokens if text_tokens else 0.0)
    batches = []
    for turn, group in enumerate(groups):
        flat = _tokens_of(lengths, group)
        batches.append(
            RolloutBatch(
                packed=pack([examples[i] for i in group]),
                old_logprobs=rollout.policy_logprobs[flat],
                reference_logprobs=rollout.reference_logprobs[flat],
                old_values=rollout.values[flat],
                advantages=advantages.advantages[flat],
                returns=advantages.returns[flat],
                pretraining=pack(text[turn :: len(groups)]),
                pretraining_weight=weight,
            )
        )
    return batches
