"""A policy writes several candidates for each prompt: completions.jsonl, with tokens and log-probabilities.

The work is cut into chunks of whole prompts. Each is written to its own file, there whole or not at all and named by
its first prompt and the one after its last, so a broken run goes on at the next chunk, whatever its size. Every draw is
named by its prompt and number, so the result is the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from heedful.config import SampleConfig
from heedful.data.chat import Chat
from heedful.data.lengths import refuse_overlong
from heedful.data.packing import groups_by_tokens, pack
from heedful.data.sources import read_completions, read_prompts
from heedful.models.heads import Policy
from heedful.models.loading import load_policy
from heedful.records import Completion, Prompt
from heedful.run import Run, atomic_text
from heedful.sampling import Sampler, SamplingParams, make_sampler
from heedful.train.laws import sampler_agrees

CHUNK_BATCHES = 4  # a chunk holds about so many batches: few rows then wait for the longest answers
LAW_ANSWERS = 256  # answers on which sampler and trainer are compared
LAW_TOKENS = 8192  # in one forward pass of the trainer
DIGITS = 7  # of a log-probability on disk: what float32 holds


def sample(config: SampleConfig, run: Run) -> None:
    """G candidates for each prompt, in order."""
    prompts = run.drawn(read_prompts(config.prompts), config.limit, "prompts")
    policy, chat = load_policy(config.model, device="cuda" if torch.cuda.is_available() else "cpu")
    asked = [chat.prompt_ids(prompt.messages) for prompt in prompts]
    refuse_overlong(prompts, asked, policy.context, paths=[config.prompts], model=config.model)
    if config.generation.temperature == 0 and config.completions > 1:
        run.say("generation.temperature = 0: all candidates of a prompt will be equal")
    writer = _Writer(config, run, chat, make_sampler(policy, config.sampler, config.generation.batch), prompts, asked)
    files = list(writer.chunks())
    completions = [completion for file in files for completion in read_completions(file)]
    gaps = _gaps(policy, chat, asked, completions, config)
    heat = config.generation.temperature or 1.0
    sampler_agrees(gaps * min(1.0, heat), "float32", config.sampler.precision)  # heat divides rounding as well
    atomic_text(run.path / "completions.jsonl", "".join(file.read_text(encoding="utf-8") for file in files))
    run.summary |= _summary(completions) | {"sampler_gap": float(gaps.abs().max())}
    run.summary["time/tokens_per_second"] = round(writer.speed)
    run.say(
        f"{len(completions)} answers to {len(prompts)} prompts, {run.summary['mean_length']:.1f} tokens on average, "
        f"{run.summary['eos_rate']:.1%} ended by themselves"
    )


class _Writer:
    """Samples the chunks that are not on disk yet."""

    def __init__(
        self,
        config: SampleConfig,
        run: Run,
        chat: Chat,
        sampler: Sampler,
        prompts: Sequence[Prompt],
        asked: Sequence[Sequence[int]],
    ) -> None:
        self._config, self._run, self._chat, self._sampler = config, run, chat, sampler
        self._prompts, self._asked = prompts, asked
        self._params = SamplingParams.of(config.generation, chat)
        self._tokens, self._seconds = 0, 0.0

    @property
    def speed(self) -> float:
        """New tokens per second, of what this process sampled."""
        return self._tokens / self._seconds if self._seconds else 0.0

    def chunks(self) -> Iterator[Path]:
        """The files of all chunks, in order; missing ones are sampled first."""
        total = len(self._prompts)
        with self._run.progress(self._run.stage, total * self._config.completions) as progress:
            done = 0
            while done < total:
                file = self._written().get(done) or self._write(done)
                indices = range(done, _after(file))
                progress.advance(len(indices) * self._config.completions, note=f"{self.speed:.0f} tok/s")
                done = indices.stop
                yield file

    def _written(self) -> dict[int, Path]:
        """Where each chunk begins that is on disk."""
        return {int(file.stem.partition("-")[0]): file for file in self._run.checkpoints.glob("[0-9]*-*.jsonl")}

    def _write(self, start: int) -> Path:
        """Sample a chunk from this prompt on, up to one that is there already."""
        size = max(1, CHUNK_BATCHES * self._config.generation.batch // self._config.completions)
        stop = min([start + size, len(self._prompts), *(place for place in self._written() if place > start)])
        name = f"{self._run.checkpoints.name}/{start:06d}-{stop:06d}.jsonl"
        with self._run.stopper.held():
            return self._run.write_records(name, self._chunk(range(start, stop)))

    def _chunk(self, indices: Sequence[int]) -> list[Completion]:
        rows = [(index, draw) for index in indices for draw in range(self._config.completions)]
        seeds = [self._run.seed_for("sample", index, draw) for index, draw in rows]
        begun = time.perf_counter()
        answers = self._sampler.sample([self._asked[index] for index, _ in rows], self._params, seeds)
        self._seconds += time.perf_counter() - begun
        self._tokens += sum(len(answer.token_ids) for answer in answers)
        return [
            Completion(
                prompt=self._prompts[index],
                text=self._chat.decode(answer.token_ids),
                policy=self._config.policy or self._config.name,
                finish=answer.finish,
                token_ids=answer.token_ids,
                logprobs=tuple(round(value, DIGITS) for value in answer.logprobs),
                temperature=self._config.generation.temperature,
            )
            for (index, _), answer in zip(rows, answers, strict=True)
        ]


def _after(file: Path) -> int:
    """The prompt after a chunk's last."""
    return int(file.stem.partition("-")[2])


@torch.no_grad()
def _gaps(
    policy: Policy, chat: Chat, asked: Sequence[Sequence[int]], completions: Sequence[Completion], config: SampleConfig
) -> Tensor:
    """Log-probability of the trainer − of the sampler, of the first answers' tokens. (N,)"""
    first = completions[:LAW_ANSWERS]
    examples = [chat.example_ids(asked[i // config.completions], c.token_ids) for i, c in enumerate(first)]
    trainer = [
        policy(pack([examples[i] for i in group]).to(policy.lm.device), config.generation.temperature or 1.0).cpu()
        for group in groups_by_tokens([len(example.ids) for example in examples], LAW_TOKENS)
    ]
    sampler = torch.tensor([value for completion in first for value in completion.logprobs])
    return torch.cat(trainer) - sampler


def _summary(completions: Sequence[Completion]) -> dict[str, float]:
    tokens = sum(len(completion.token_ids) for completion in completions)
    ended = sum(completion.finish == "eos" for completion in completions)
    return {
        "completions": len(completions),
        "tokens": tokens,
        "eos_rate": ended / len(completions),
        "mean_length": tokens / len(completions),
    }
