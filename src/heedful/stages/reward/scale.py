"""The scale of a reward: what SFT samples score, so that β is in units that mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from heedful.data.chat import Chat
from heedful.data.lengths import within_context
from heedful.data.packing import Example
from heedful.data.sources import read_completions
from heedful.errors import InputError
from heedful.models.loading import Affine
from heedful.records import Completion, Messages, Prompt
from heedful.rewards.model import RAW
from heedful.run import Run

CALIBRATION = 3000  # samples of each file that set the scale: its standard error is then below 2 %


@dataclass(frozen=True, slots=True)
class Samples:
    """SFT samples that fit the model's context, as records and as tokens."""

    completions: list[Completion]
    examples: list[Example]

    @property
    def asked(self) -> tuple[list[Prompt], list[str]]:
        """Prompts and answers, for a Reward."""
        return [sample.prompt for sample in self.completions], [sample.text for sample in self.completions]


def read_samples(paths: Sequence[str], chat: Chat, context: int, run: Run) -> Samples:
    """The first samples of each calibration file; the few that don't fit the context are left out, and said."""
    samples = first_samples(paths)
    texts = [[chat.example(sample.prompt.messages, sample.text)] for sample in samples]
    kept, left_out = within_context(texts, context, "calibration samples", samples, paths)
    run.note(left_out)
    return Samples([samples[i] for i in kept], [texts[i][0] for i in kept])


def first_samples(paths: Sequence[str]) -> list[Completion]:
    """As many of each calibration file as set a scale."""
    return [sample for path in paths for sample in read_completions(path)[:CALIBRATION]]


def scale_of(samples: Sequence[Completion], scores: Sequence[float], run: Run) -> Affine:
    """The scale that SFT samples' scores set, or none where the config names no samples."""
    if not samples:
        run.say("no calibration samples: scores stay as they are learnt")
        return RAW
    affine = sample_affine(samples, scores)
    run.say(f"SFT samples score {affine.mean:+.2f} on average, {affine.std:.2f} within a prompt: the unit of β")
    return affine


def sample_affine(samples: Sequence[Completion], scores: Sequence[float]) -> Affine:
    """Mean over all samples, and the standard deviation *within* a prompt: the root of the mean variance.

    How scores differ between prompts is nothing that a policy can change, so it has no part in the unit of β.
    """
    groups: dict[Messages, list[float]] = {}
    for sample, score in zip(samples, scores, strict=True):
        groups.setdefault(sample.prompt.messages, []).append(score)
    several = [group for group in groups.values() if len(group) > 1]
    std = sqrt(sum(_variance(group) for group in several) / len(several)) if several else 0.0
    if std <= 1e-6:
        raise InputError(
            "the calibration samples do not differ within a prompt, so their scores have no scale: "
            "sample at least two completions a prompt at a temperature above 0"
        )
    return Affine(mean=sum(scores) / len(scores), std=std)


def _variance(values: Sequence[float]) -> float:
    """Unbiased."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
