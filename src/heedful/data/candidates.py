"""The different answers to one prompt, put together from several files, with some that belong to other prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heedful.records import Completion, Messages, Prompt

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Candidates:
    """Different texts, and who wrote each."""

    prompt: Prompt
    texts: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def family(self) -> Any:
        """The prompt's family; None where it has none, which is a family too."""
        return self.prompt.meta.get("family")


def gather(completions: Iterable[Completion]) -> list[Candidates]:
    """One entry a prompt, in order of first sight; equal texts once, under the name of whoever wrote them first."""
    prompts: dict[Messages, Prompt] = {}
    texts: dict[Messages, dict[str, str]] = {}
    for completion in completions:
        asked = completion.prompt.messages
        prompts.setdefault(asked, completion.prompt)
        texts.setdefault(asked, {}).setdefault(completion.text, completion.policy)
    return [Candidates(prompt, tuple(texts[asked]), tuple(texts[asked].values())) for asked, prompt in prompts.items()]


def by_family(pool: Sequence[Candidates]) -> dict[Any, list[int]]:
    """Which entries of the pool are of which family."""
    families: dict[Any, list[int]] = {}
    for index, candidates in enumerate(pool):
        families.setdefault(candidates.family, []).append(index)
    return families


def borrow(
    own: Candidates,
    pool: Sequence[Candidates],
    families: Mapping[Any, Sequence[int]],
    count: int,
    rng: np.random.Generator,
) -> Candidates:
    """The candidates with up to `count` answers of other prompts added, so that irrelevant answers are ranked too.

    Every second one, on average, comes from a prompt of the same family: such an answer has the right form and is
    about something else, which teaches more than one that is plainly out of place. Sources read `borrowed:<policy>`.
    """
    kin = families[own.family]
    texts, sources = list(own.texts), list(own.sources)
    for _ in range(count):
        near = rng.random() < 0.5
        lender = pool[kin[int(rng.integers(len(kin)))] if near else int(rng.integers(len(pool)))]
        answer = int(rng.integers(len(lender.texts)))
        if lender.texts[answer] not in texts:  # which it is where the draw fell on the prompt itself
            texts.append(lender.texts[answer])
            sources.append(f"borrowed:{lender.sources[answer]}")
    return Candidates(own.prompt, tuple(texts), tuple(sources))
