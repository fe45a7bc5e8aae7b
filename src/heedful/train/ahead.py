"""The next rollout's answers, sampled in the background while the present rollout is learned from.

They come from a copy of the policy as it was when they were begun, one rollout behind the one that learns from them:
the importance weights correct for that. Which weights, prompts and seeds they come from does not depend on any clock,
and a checkpoint holds them, so that a resumed run learns from the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import torch
from accelerate.utils import gather_object

from heedful.models.heads import Policy
from heedful.sampling import Sampled, Sampler, SamplingParams


class Ahead:
    """At most one rollout ahead."""

    def __init__(self, sampler: Sampler, policy: Policy) -> None:
        self.sampler, self.policy = sampler, policy
        self.iteration = -1  # the one that the answers are for
        self.seconds = 0.0  # that sampling them took
        self._behind: list[Policy] = []  # the copy that samples, made when it is first needed
        self._answers: Future[list[Sampled]] = Future()

    def begin(
        self, iteration: int, prompts: Sequence[Sequence[int]], params: SamplingParams, seeds: Sequence[int]
    ) -> None:
        """Sample for this iteration with the weights as they are now. Returns at once."""
        self.iteration = iteration
        behind = self._copy()

        def sample() -> list[Sampled]:
            begun = time.perf_counter()
            self.sampler.update(behind)
            answers = self.sampler.sample(prompts, params, seeds)
            self.seconds = time.perf_counter() - begun
            return answers

        pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._answers = pool.submit(sample)
        pool.shutdown(wait=False)  # it ends with its work

    def take(self, iteration: int) -> list[Sampled]:
        """The answers for this iteration, when they are there; none where they were not begun for it."""
        if self.iteration < 0:
            return []
        answers = self._answers.result()  # waited for in any case: nobody else may sample meanwhile
        found = answers if self.iteration == iteration else []
        self.iteration = -1
        return found

    @torch.no_grad()
    def _copy(self) -> Policy:
        if not self._behind:
            self._behind.append(deepcopy(self.policy).requires_grad_(False))
        for old, new in zip(self._behind[0].parameters(), self.policy.parameters(), strict=True):
            old.copy_(new)
        return self._behind[0]

    def state_dict(self) -> dict[str, Any]:
        """The answers of all processes; asked for on each of them."""
        if self.iteration < 0:
            return {}
        rows = [[answer.token_ids, answer.logprobs, answer.finish] for answer in self._answers.result()]
        return {"ahead": self.iteration, "answers": gather_object([rows])}

    def load_state_dict(self, state: dict[str, Any], process: int, processes: int) -> None:
        """Of these, the answers of one process; none where others were as many: each then has other prompts."""
        rows_of = state.get("answers", ())
        self.iteration = state["ahead"] if len(rows_of) == processes else -1
        if self.iteration >= 0:
            rows = rows_of[process]
            self._answers = Future()
            self._answers.set_result([Sampled(tuple(ids), tuple(logprobs), end) for ids, logprobs, end in rows])
