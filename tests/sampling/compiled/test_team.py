"""Shares of a phase: each is worked at once, by one thread, after all that came before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from heedful.sampling.compiled.team import PLACES, Team, join, new_team, settle, share

Integers = NDArray[np.int64]
SIZES = np.array([7, 1, 0, 40, 3, 1, 64, 2] * 200, np.int64)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def walk(t: Team, own: Integers, sizes: Integers, times: Integers) -> bool:
    """Count how often each unit of each phase is worked at. Returns whether all before it were done each time."""
    in_turn = True
    join(t, own)
    for phase in range(len(sizes)):
        first, last = share(t, own, sizes[phase])
        while first < last:
            for before in range(max(0, phase - 1), phase):
                in_turn &= times[before, : sizes[before]].sum() == sizes[before]
            times[phase, first:last] += 1
            first, last = share(t, own, sizes[phase])
    settle(t, own)
    return in_turn and times[-1].sum() == sizes[-1]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_share_is_worked_at_once_and_in_turn(threads: int) -> None:
    team, times = new_team(threads, 1), np.zeros((len(SIZES), SIZES.max()), np.int64)
    with ThreadPoolExecutor(threads) as pool:
        walks = [pool.submit(walk, team, np.zeros(PLACES, np.int64), SIZES, times) for _ in range(threads)]
        assert all(done.result() for done in walks)
    assert (times == (np.arange(SIZES.max()) < SIZES[:, None])).all()


def test_a_thread_that_comes_late_holds_up_nobody() -> None:
    team, times = new_team(2, 1), np.zeros((len(SIZES), SIZES.max()), np.int64)
    assert walk(team, np.zeros(PLACES, np.int64), SIZES, times)
    before = times.copy()
    assert walk(team, np.zeros(PLACES, np.int64), SIZES, times)
    assert (times == before).all()
