"""One rollout: the policy answers prompts, the answers are paid, and policy and reference are read on them.

Token in, token out: what was sampled is what is scored and trained on. The log-probabilities that training calls *old*
are the trainer's own, from one packed forward pass; how far the sampler's are from them is measured every time.
Several processes share the work and each then holds the whole rollout, as one process alone would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from heedful.batches import PackedBatch, Rollout
from heedful.config import Rewards
from heedful.data.chat import Chat
from heedful.data.packing import Example, groups_by_tokens, pack
from heedful.models.heads import Policy
from heedful.records import Prompt
from heedful.rewards import Reward, Score
from heedful.rewards.build import paid
from heedful.sampling import Sampled, Sampler, SamplingParams
from heedful.train.clock import Clock


@dataclass(frozen=True, slots=True)
class Players:
    """Everyone who takes part in a rollout."""

    policy: Policy
    reference: Policy
    sampler: Sampler
    reward: Reward
    chat: Chat


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as text for the reward and as tokens for the policy."""

    prompt: Prompt
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers, scored, before any network of the trainer was run on them."""

    asked: list[Asked]
    groups: list[int]  # equal for answers to the same prompt
    samples: list[Sampled]
    texts: list[str]
    scores: list[Score]
    paid: Tensor  # (B,) penalties included

    def at(self, places: Sequence[int]) -> Answers:
        """Some of them, in this order."""
        return Answers(
            [self.asked[i] for i in places],
            [self.groups[i] for i in places],
            [self.samples[i] for i in places],
            [self.texts[i] for i in places],
            [self.scores[i] for i in places],
            self.paid[list(places)],
        )

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.asked + other.asked,
            self.groups + other.groups,
            self.samples + other.samples,
            self.texts + other.texts,
            self.scores + other.scores,
            torch.cat([self.paid, other.paid]),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What policy and reference say about every sampled token; all (N,), on the CPU."""

    logprobs: Tensor
    entropy: Tensor
    reference_logprobs: Tensor
    kl: Tensor  # exact, over the whole vocabulary


@dataclass(frozen=True, slots=True)
class Collected:
    """A rollout of all processes, in the order of `in_order_of_length`."""

    asked: list[Asked]
    samples: list[Sampled]
    texts: list[str]
    examples: list[Example]
    scores: list[Score]
    reading: Reading
    rollout: Rollout
    sampler_logprobs: Tensor  # (N,) the sampler's own
    clock: Clock

    @property
    def sampler_gap(self) -> float:
        """Largest |sampler's − trainer's log-probability|."""
        return float((self.sampler_logprobs - self.rollout.policy_logprobs).abs().max())


def over_batches(
    examples: Sequence[Example],
    run: Callable[[PackedBatch], Sequence[Tensor]],
    *,
    limit: int,
    accelerator: Accelerator,
) -> list[Tensor]:
    """`run` on packed answers, at most `limit` tokens in one forward pass; its columns joined, on the CPU. (N,) each

    The same answers on every process: each runs some of the batches, and gets the columns of all.
    """
    lengths, processes = [len(example.ids) for example in examples], accelerator.num_processes
    groups = groups_by_tokens(lengths, min(limit, -(-sum(lengths) // processes)))  # some for each process
    parts: list[tuple[int, tuple[Tensor, ...]]] = []
    with torch.no_grad():
        for place in range(accelerator.process_index, len(groups), processes):
            batch = pack([examples[i] for i in groups[place]]).to(accelerator.device)
            with accelerator.autocast():
                columns = run(batch)
            parts.append((place, tuple(column.float().cpu() for column in columns)))
    found = dict(gather_object(parts))
    return [torch.cat(column) for column in zip(*(found[place] for place in range(len(groups))), strict=True)]


def read(
    players: Players, examples: Sequence[Example], *, temperature: float, limit: int, accelerator: Accelerator
) -> Reading:
    """Policy and reference on packed answers."""

    def both(batch: PackedBatch) -> Sequence[Tensor]:
        seen = players.policy.divergence(players.reference, batch, temperature)
        return seen.logprobs, seen.entropy, seen.other_logprobs, seen.kl

    return Reading(*over_batches(examples, both, limit=limit, accelerator=accelerator))


def in_order_of_length(asked: Sequence[Asked], samples: Sequence[Sampled]) -> list[int]:
    """Prompts by their longest answer, each prompt's answers side by side: a forward pass then reads the prompt once,
    and spends little on the longest."""
    lengths = [len(one.ids) + len(sample.token_ids) for one, sample in zip(asked, samples, strict=True)]
    longest: dict[tuple[int, ...], int] = {}
    for one, length in zip(asked, lengths, strict=True):
        longest[one.ids] = max(length, longest.get(one.ids, 0))
    return sorted(range(len(asked)), key=lambda i: (longest[asked[i].ids], asked[i].ids, lengths[i]))


def ask(
    players: Players, asked: Sequence[Asked], seeds: Sequence[int], params: SamplingParams, clock: Clock
) -> list[Sampled]:
    """Let the policy, as it is now, answer each of `asked` once."""
    with clock.phase("sample"):
        players.sampler.update(players.policy)
        return players.sampler.sample([one.ids for one in asked], params, seeds)


def scored(
    players: Players,
    asked: Sequence[Asked],
    groups: Sequence[int],
    sampled: Sequence[Sampled],
    params: SamplingParams,
    rewards: Rewards,
    clock: Clock,
    accelerator: Accelerator,
) -> Answers:
    """What this process's answers say and what they are paid, and those of all others; in the order of
    `in_order_of_length`."""
    order = in_order_of_length(asked, sampled)
    ordered, samples = [asked[i] for i in order], [sampled[i] for i in order]
    texts = [players.chat.decode(sample.token_ids) for sample in samples]
    with clock.phase("reward"), accelerator.autocast():
        scores = players.reward.score([one.prompt for one in ordered], texts)
    lengths = [len(sample.token_ids) for sample in samples]
    cut = [sample.finish == "length" for sample in samples]
    price = paid(scores, lengths, cut, rewards, limit=params.max_new_tokens)
    mine = Answers(ordered, [groups[i] for i in order], samples, texts, scores, price)
    return mine if accelerator.num_processes == 1 else _joined(gather_object([mine]))


def _joined(parts: Sequence[Answers]) -> Answers:
    """Each process's answers as one, in the order that one process alone would give them."""
    every = reduce(Answers.__add__, parts)
    by_group = every.at(sorted(range(len(every.groups)), key=every.groups.__getitem__))
    return by_group.at(in_order_of_length(by_group.asked, by_group.samples))


def measure(
    players: Players,
    answers: Answers,
    clock: Clock,
    *,
    temperature: float,
    tokens: int,
    accelerator: Accelerator,
) -> Collected:
    """Everything that an advantage function reads of answers."""
    chat = players.chat
    examples = [
        chat.example_ids(one.ids, sample.token_ids) for one, sample in zip(answers.asked, answers.samples, strict=True)
    ]
    with clock.phase("forward"):
        reading = read(players, examples, temperature=temperature, limit=tokens, accelerator=accelerator)
    sampled = torch.tensor([value for sample in answers.samples for value in sample.logprobs])
    rollout = Rollout(
        packed=pack(examples),
        policy_logprobs=reading.logprobs,
        reference_logprobs=reading.reference_logprobs,
        scores=answers.paid,
        groups=torch.tensor(answers.groups),
    )
    return Collected(
        answers.asked, answers.samples, answers.texts, examples, answers.scores, reading, rollout, sampled, clock
    )
