"""How far a policy has moved: the exact divergence from the reference along the policy's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from heedful.data.chat import Chat
from heedful.data.packing import groups_by_tokens, pack
from heedful.evaluate.answers import AnswerSet
from heedful.models.heads import Policy
from heedful.ops.logprobs import sequence_sums
from heedful.records import Prompt


@dataclass(frozen=True, slots=True)
class Drift:
    """One answer, in nats summed over its tokens."""

    kl: float  # Σ_t KL(policy ‖ reference) over the full vocabulary
    own: float  # −log p of the answer under the policy that wrote it
    reference: float  # −log p of the same answer under the reference
    tokens: int

    def row(self) -> dict[str, float]:
        return asdict(self)


@torch.no_grad()
def drift(
    policy: Policy,
    reference: Policy,
    chat: Chat,
    prompts: Sequence[Prompt],
    answers: AnswerSet,
    *,
    tokens_per_batch: int,
) -> list[list[Drift]]:
    """Of every sampled answer: `result[prompt][draw]`. Both models must share a vocabulary.

    The mean over answers sampled at temperature 1 is the Rao-Blackwellised estimate of the sequence KL: exact over the
    vocabulary at each step, sampled over paths.
    """
    asked = [chat.prompt_ids(prompt.messages) for prompt in prompts]
    examples = [
        chat.example_ids(ids, answer.token_ids)
        for ids, draws in zip(asked, answers.answers, strict=True)
        for answer in draws
    ]
    device = next(policy.parameters()).device
    heat = answers.temperature or 1.0  # of the policies that wrote; greedy answers are read at 1
    found: list[Drift] = []
    for group in groups_by_tokens([len(e.ids) for e in examples], tokens_per_batch):
        batch = pack([examples[i] for i in group]).to(device)
        read = policy.divergence(reference, batch, heat)
        columns = (read.kl, -read.logprobs, -read.other_logprobs)
        sums = [sequence_sums(column, batch.target_lengths).tolist() for column in columns]
        found += [Drift(*row) for row in zip(*sums, batch.target_lengths.tolist(), strict=True)]
    per_prompt, place = [], 0
    for draws in answers.answers:
        per_prompt.append(found[place : place + len(draws)])
        place += len(draws)
    return per_prompt
