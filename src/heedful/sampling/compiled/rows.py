"""Rows that are decoded by the compiled step: several tokens for each before Python has a say, by teams of threads.

Many rows are shared out among the threads. A few are decoded by all threads as one team, since such a step is reading
the weights, of which each thread then reads its part.

Rows keep their slot of the cache until they end, so nothing moves. What a row gets depends on nothing but itself, so it
does not matter which thread computes it, nor how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import torch

from heedful.models.heads import Policy
from heedful.ops.compiled.jit import Integers
from heedful.ops.compiled.tiles import whole
from heedful.sampling.answers import Answers
from heedful.sampling.compiled.model import multiplications, read_model
from heedful.sampling.compiled.states import aligned, copy_rows, empty_states, pairs_of
from heedful.sampling.compiled.step import Corner, Desk, Model, Prompt, Slots, Written, decode
from heedful.sampling.compiled.team import PLACES, new_team
from heedful.sampling.draw import BLOCK, diverged
from heedful.sampling.waiting import Waiting

BURST = 16  # steps before Python has a say
THREAD_ROWS = 12  # a thread with so many decodes them by itself, and waits for no other; fewer are a team's
THREAD_WORK = 1 << 19  # multiplications of a step for each thread of a team: with fewer they wait longer than they work
PART_ROWS = 64  # decoded together: their states stay in the inner caches
NOTHING = np.zeros(0, np.int64)


class CompiledRows:
    """The rows being decoded, as `native.Rows`."""

    def __init__(self, policy: Policy, waiting: Waiting, columns: int, dtype: torch.dtype = torch.float32) -> None:
        slots, self._waiting = waiting.slots, waiting
        self._model = read_model(policy, columns, dtype)
        self._states = empty_states(self._model, slots, columns)
        self._slots = Slots(*(np.full(slots, -1, np.int64) for _ in range(3)))
        threads = range(torch.get_num_threads())
        self._desks = [_desk(self._model, PART_ROWS) for _ in threads]  # of teams, of which there may be as many
        self._corners = [_corner(self._model, columns) for _ in threads]
        self._threads = ThreadPoolExecutor(len(threads))

    def wait_for(self, answers: Answers) -> bool:
        """Let prompts join where there is room. False when all answers are finished."""
        free = np.flatnonzero(self._slots.samples < 0)
        if samples := self._waiting.join(len(free)):
            self._join(answers, samples, free[: len(samples)])
        return len(free) < len(self._slots.samples) or bool(samples)

    def _join(self, answers: Answers, samples: list[int], slots: Integers) -> None:
        """Cache all but the last token of each prompt, once where several share it."""
        beginnings, shared = self._waiting.beginnings(samples)
        owners = slots[np.unique(shared, return_index=True)[1]]  # the first slot of each beginning
        prompts = [self._waiting.prompts[sample] for sample in samples]
        tokens = self._known([prompt[-1] for prompt in prompts])
        parts = np.array_split(np.arange(len(beginnings)), min(len(self._desks), len(beginnings)))
        self._decode(answers, [(self._prompt(beginnings, owners, part), NOTHING) for part in parts], len(parts), 0)
        copies = slots != owners[shared]
        if copies.any():
            copy_rows(self._states, owners[shared][copies], slots[copies], max(map(len, beginnings)))
        self._slots.samples[slots], self._slots.tokens[slots] = samples, tokens
        self._slots.lengths[slots] = [len(prompt) - 1 for prompt in prompts]

    def _prompt(self, beginnings: list[tuple[int, ...]], owners: Integers, part: Integers) -> Prompt:
        """Some of the beginnings, one after the other."""
        mine = [beginnings[index] for index in part]
        lengths = [len(beginning) for beginning in mine]
        columns = np.concatenate([NOTHING, *map(np.arange, lengths)])
        return Prompt(self._known(list(chain.from_iterable(mine))), np.repeat(owners[part], lengths), columns)

    def _known(self, tokens: Sequence[int]) -> Integers:
        """Compiled code would read whatever lies behind the embeddings."""
        ids, vocabulary = np.array(tokens, np.int64), len(self._model.embeddings)
        if ((ids < 0) | (ids >= vocabulary)).any():
            raise IndexError(f"a prompt has token {ids.max()}, and the model knows those from 0 to {vocabulary - 1}")
        return ids

    def step(self, answers: Answers) -> None:
        """A burst of tokens for every row; a part stops early when it has freed its share of what prompts wait for."""
        active = np.flatnonzero(self._slots.samples >= 0)
        teams = max(1, min(len(self._desks), len(active) // THREAD_ROWS))
        parts = np.array_split(active, teams * -(-len(active) // (teams * PART_ROWS)))
        leave = -(-self._waiting.missing(len(self._slots.samples) - len(active)) // len(parts))
        none = Prompt(NOTHING, NOTHING, NOTHING)
        self._decode(answers, [(none, part) for part in parts], teams, leave)

    def _decode(self, answers: Answers, parts: list[tuple[Prompt, Integers]], teams: int, leave: int) -> None:
        """Prompts to cache and rows to decode, shared out among so many teams of threads."""
        tensors = (answers.made, answers.limits, answers.tokens, answers.logprobs, answers.uniforms, answers.ends)
        written = Written(*(tensor.numpy() for tensor in tensors))
        heat = np.float32(answers.params.temperature)
        members = self._members(teams, max(len(prompt.tokens) + len(rows) for prompt, rows in parts))
        jobs = [(new_team(members, BURST), *part) for part in parts]

        def work(thread: int) -> bool:
            desk, corner = self._desks[thread % teams], self._corners[thread]
            return all(
                decode(self._model, self._states, team, self._slots, written, desk, corner, prompt, rows, heat, leave)
                for team, prompt, rows in jobs[thread % teams :: teams]
            )

        running = [self._threads.submit(work, thread) for thread in range(teams * members)]
        sound = [thread.result() for thread in running]  # all have come back before anything is said
        if not all(sound):
            raise diverged()

    def _members(self, teams: int, rows: int) -> int:
        """How many threads decode so many rows together."""
        worth = multiplications(self._model) * rows // THREAD_WORK
        return max(1, min(len(self._corners) // teams, worth))


def _desk(model: Model, rows: int) -> Desk:
    hidden = model.embeddings.shape[1]
    attended = model.heads * 2 * model.angles.shape[1]
    widest = max(whole(hidden), attended, model.width + 1)  # of what is multiplied by panels
    return Desk(
        slots=np.zeros(rows, np.int64),
        columns=np.zeros(rows, np.int64),
        x=aligned((rows, whole(hidden)), np.float32),
        h=aligned((rows, max(whole(hidden), attended)), np.float32),
        wide=aligned((rows, max(model.qkv_bias.shape[1], model.gate_up_bias.shape[1])), np.float32),
        logits=aligned((rows, len(model.head_bias)), np.float32),
        pairs=aligned((rows, widest) if pairs_of(model.qkv) == 2 else (0, 0), np.uint16),
    )


def _corner(model: Model, columns: int) -> Corner:
    size, group = 2 * model.angles.shape[1], model.heads // model.kv_heads
    longest = max(whole(columns), whole(size))
    return Corner(
        turn=np.zeros(PLACES, np.int64),
        scores=aligned((2 * group, longest), np.float32),
        blocks=np.zeros(-(-len(model.embeddings) // BLOCK), np.float32),
        pairs=aligned((group, longest) if pairs_of(model.qkv) == 2 else (0, 0), np.uint16),
    )
