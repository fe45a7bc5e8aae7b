"""Rows that are decoded by the compiled step: several tokens for each before Python has a say, a thread for each part.

Rows keep their slot of the cache until they end, so nothing moves; a thread decodes its rows from weights to tokens and
waits for no other. What a row gets depends on nothing but itself, so it does not matter which thread has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import torch

from heedful.models.heads import Policy
from heedful.ops.compiled.jit import Floats, Integers
from heedful.sampling.answers import Answers
from heedful.sampling.compiled.model import read_model
from heedful.sampling.compiled.states import copy_rows, empty_states, pairs_of, whole
from heedful.sampling.compiled.step import Model, Prompt, Scratch, Slots, Written, decode
from heedful.sampling.draw import BLOCK, diverged
from heedful.sampling.waiting import Waiting

BURST = 16  # steps; between bursts the rows are shared out anew
THREAD_ROWS = 4  # a thread with fewer reads the weights for too little
PART_ROWS = 64  # decoded together: their states stay in the inner caches
NOTHING = np.zeros(0, np.int64)


class CompiledRows:
    """The rows being decoded, as `native.Rows`."""

    def __init__(self, policy: Policy, waiting: Waiting, columns: int, dtype: torch.dtype = torch.float32) -> None:
        slots, self._waiting = waiting.slots, waiting
        self._model = read_model(policy, columns, dtype)
        self._states = empty_states(self._model, slots, columns)
        self._slots = Slots(*(np.full(slots, -1, np.int64) for _ in range(3)))
        threads = max(1, min(torch.get_num_threads(), slots // THREAD_ROWS))
        self._scratch = [_scratch(self._model, PART_ROWS, columns) for _ in range(threads)]
        self._threads = ThreadPoolExecutor(threads)

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
        parts = np.array_split(np.arange(len(beginnings)), len(self._scratch))
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
        threads = max(1, min(len(self._scratch), len(active) // THREAD_ROWS))
        parts = np.array_split(active, threads * -(-len(active) // (threads * PART_ROWS)))
        leave = -(-self._waiting.missing(len(self._slots.samples) - len(active)) // len(parts))
        none = Prompt(NOTHING, NOTHING, NOTHING)
        self._decode(answers, [(none, part) for part in parts], threads, leave)

    def _decode(self, answers: Answers, parts: list[tuple[Prompt, Integers]], threads: int, leave: int) -> None:
        """Prompts to cache and rows to decode, shared out among so many threads."""
        tensors = (answers.made, answers.limits, answers.tokens, answers.logprobs, answers.uniforms, answers.ends)
        written = Written(*(tensor.numpy() for tensor in tensors))
        heat = np.float32(answers.params.temperature)

        def work(thread: int) -> bool:
            own = self._model, self._states, self._slots, written, self._scratch[thread]
            return all(decode(*own, prompt, rows, heat, BURST, leave) for prompt, rows in parts[thread::threads])

        running = [self._threads.submit(work, thread) for thread in range(threads)]
        sound = [thread.result() for thread in running]  # all have come back before anything is said
        if not all(sound):
            raise diverged()


def _scratch(model: Model, rows: int, columns: int) -> Scratch:
    vocabulary, hidden = model.embeddings.shape
    attended, size = model.heads * 2 * model.angles.shape[1], 2 * model.angles.shape[1]
    widest = max(whole(hidden), attended, model.width + 1, whole(columns))  # of what is multiplied by panels
    paired = pairs_of(model.qkv) == 2

    def integers() -> Integers:
        return np.zeros(rows, np.int64)

    def floats(width: int, lines: int = rows) -> Floats:
        return np.zeros((lines, width), np.float32)

    return Scratch(
        slots=integers(),
        tokens=integers(),
        columns=integers(),
        x=floats(whole(hidden)),
        h=floats(max(whole(hidden), attended)),
        wide=floats(max(model.qkv_bias.shape[1], model.gate_up_bias.shape[1])),
        scores=floats(max(whole(columns), whole(size)), 2 * model.heads // model.kv_heads),
        logits=floats(len(model.head_bias)),
        blocks=np.zeros(-(-vocabulary // BLOCK), np.float32),
        pairs=np.zeros((max(rows, model.heads), widest) if paired else (0, 0), np.uint16),
    )
