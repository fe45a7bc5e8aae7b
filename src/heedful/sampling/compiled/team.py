"""Threads that take a step together: every phase is cut into shares, and whoever is free takes the next one.

Nobody begins a phase before all earlier ones are done, and nobody is assigned anything: a thread that the machine does
not run for a while holds up one share at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from heedful.ops.compiled.jit import Integers, kernel

SHARES = 4  # of a phase for each thread, where it can be cut into as many
SPINS = 2000  # looks at the counter before the processor is offered to others
TAKEN, DONE, PLACES = 16, 32, 48  # of the counters, each in cache lines of its own
TICKET, BEGIN, BUSY = range(3)


class Team(NamedTuple):
    """What the threads know together."""

    counters: Integers  # (PLACES,) shares that were taken, and shares that are done, since the beginning
    rows: Integers  # (steps + 1,) how many rows each step has; −1: probabilities that are no numbers
    most: int  # shares of a phase


def new_team(threads: int, steps: int) -> Team:
    shares = SHARES * threads if threads > 1 else 1
    return Team(np.zeros(PLACES, np.int64), np.zeros(steps + 1, np.int64), shares)


@intrinsic  # type: ignore[untyped-decorator]
def _count(_: Any, address: Any) -> Any:
    """Add 1 to the number at an address, whoever else does. Returns what it was."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = ir.IntType(64)
        return builder.atomic_rmw("add", builder.inttoptr(args[0], number.as_pointer()), number(1), "seq_cst")

    return types.int64(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def _look(_: Any, address: Any) -> Any:
    """The number at an address, and all that was written before it."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), "acquire", 8)

    return types.int64(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def _give_way(_: Any) -> Any:
    """Let the machine run somebody else, where somebody waits."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        call = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), ()), "sched_yield")
        return builder.call(call, ())

    return types.int32(), generate


@kernel()
def join(t: Team, own: Integers) -> None:
    """Take the first share. own (3,): the thread's ticket, where the phase begins, whether it works"""
    own[TICKET], own[BEGIN], own[BUSY] = _count(t.counters.ctypes.data + 8 * TAKEN), 0, 0


@kernel()
def settle(t: Team, own: Integers) -> None:
    """Wait until all phases before this one are done."""
    spins = 0
    while _look(t.counters.ctypes.data + 8 * DONE) < own[BEGIN]:
        spins += 1
        if spins > SPINS:
            _give_way()


@kernel()
def share(t: Team, own: Integers, size: int) -> tuple[int, int]:
    """The first and the last + 1 of range(size) that the caller works at next; equal when the phase has no more.

    All threads go through the same phases, and ask until there is no more. What was got before counts as done.
    """
    if own[BUSY]:
        _count(t.counters.ctypes.data + 8 * DONE)
        own[TICKET], own[BUSY] = _count(t.counters.ctypes.data + 8 * TAKEN), 0
    shares = min(size, t.most)
    index = own[TICKET] - own[BEGIN]
    if index >= shares:
        own[BEGIN] += shares
        return 0, 0
    settle(t, own)
    own[BUSY] = 1
    return index * size // shares, (index + 1) * size // shares
