"""One rollout: the policy answers prompts, the answers are paid, and policy, reference and critic are read on them.

Token in, token out: what was sampled is what is scored and trained on. The log-probabilities that training calls *old*
are the trainer's own, from one packed forward pass; how far the sampler's are from them is measured every time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from heedful.batches import Rollout
from heedful.config.on_policy import PPORewards
from heedful.data.chat import Chat
from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.models.heads import Policy, ValueModel
from heedful.records import Prompt
from heedful.rewards import Reward, Score
from heedful.sampling import Sampled, Sampler, SamplingParams


@dataclass(frozen=True, slots=True)
class Players:
    """Everyone who takes part in a rollout."""

    policy: Policy
    reference: Policy
    critic: ValueModel
    sampler: Sampler
    reward: Reward
    chat: Chat


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as text for the reward and as tokens for the policy."""

    prompt: Prompt
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the networks say about every sampled token; all (N,), on the CPU."""

    logprobs: Tensor
    entropy: Tensor
    reference_logprobs: Tensor
    kl: Tensor  # exact, over the whole vocabulary
    values: Tensor


@dataclass(frozen=True, slots=True)
class Collected:
    """One process's share of a rollout, in order of length."""

    asked: list[Asked]
    samples: list[Sampled]
    texts: list[str]
    examples: list[Example]
    scores: list[Score]
    reading: Reading
    rollout: Rollout
    sampler_gap: float  # largest |sampler's − trainer's log-probability|
    seconds: dict[str, float]


@dataclass(slots=True)
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def paid(scores: Sequence[Score], samples: Sequence[Sampled], rewards: PPORewards) -> Tensor:
    """What each answer is paid: its score, clipped where asked, less the penalty where it was cut. (B,)"""
    values = torch.tensor([score.value for score in scores], dtype=torch.float32)
    if rewards.clip:
        values = values.clamp(-rewards.clip, rewards.clip)
    cut = torch.tensor([float(sample.finish == "length") for sample in samples])
    return values - rewards.missing_eos_penalty * cut


@torch.no_grad()
def read(
    players: Players, examples: Sequence[Example], *, temperature: float, limit: int, accelerator: Accelerator
) -> Reading:
    """Policy, reference and critic on packed answers, at most `limit` tokens in one forward pass."""
    parts: list[tuple[Tensor, ...]] = []
    for group in groups_by_tokens([len(example.ids) for example in examples], limit):
        batch = pack([examples[i] for i in group]).to(accelerator.device)
        with accelerator.autocast():
            seen = players.policy.divergence(players.reference, batch, temperature)
            values = players.critic(batch)
        read_here = (seen.logprobs, seen.entropy, seen.other_logprobs, seen.kl, values)
        parts.append(tuple(value.float().cpu() for value in read_here))
    return Reading(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _in_order_of_length(asked: Sequence[Asked], samples: Sequence[Sampled]) -> tuple[list[Asked], list[Sampled]]:
    """Answers of like length share a forward pass, which then spends little on the longest."""
    order = sorted(range(len(asked)), key=lambda i: len(asked[i].ids) + len(samples[i].token_ids))
    return [asked[i] for i in order], [samples[i] for i in order]


def collect(
    players: Players,
    asked: Sequence[Asked],
    seeds: Sequence[int],
    params: SamplingParams,
    rewards: PPORewards,
    *,
    tokens: int,
    accelerator: Accelerator,
) -> Collected:
    """Let the policy answer each prompt once, and measure everything that an advantage function reads."""
    clock = Clock()
    with clock.phase("sample"):
        players.sampler.update(players.policy)
        samples = players.sampler.sample([one.ids for one in asked], params, seeds)
    asked, samples = _in_order_of_length(asked, samples)
    texts = [players.chat.decode(sample.token_ids) for sample in samples]
    with clock.phase("reward"):
        scores = players.reward.score([one.prompt for one in asked], texts)
    examples = [players.chat.example_ids(one.ids, sample.token_ids) for one, sample in zip(asked, samples, strict=True)]
    with clock.phase("forward"):
        reading = read(players, examples, temperature=params.temperature, limit=tokens, accelerator=accelerator)
    sampled_logprobs = torch.tensor([value for sample in samples for value in sample.logprobs])
    rollout = Rollout(
        packed=pack(examples),
        policy_logprobs=reading.logprobs,
        reference_logprobs=reading.reference_logprobs,
        values=reading.values,
        scores=paid(scores, samples, rewards),
    )
    gap = float((sampled_logprobs - reading.logprobs).abs().max())
    return Collected(asked, samples, texts, examples, scores, reading, rollout, gap, clock.seconds)
