"""What is not kept yet is compiled by a child: nobody runs what he compiled himself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from heedful.ops.compiled import child
from heedful.ops.compiled.jit import kept
from heedful.ops.compiled.threads import FIRST, keep, run


def _double() -> Any:
    def double(x: Any) -> Any:
        return x + x

    return kept(double)


def _write() -> Any:
    def write(numbers: Any) -> None:
        numbers[FIRST] = 7

    return keep(write)


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))


def test_the_first_process_loads_as_the_next_ones_do(tmp_path: Path) -> None:
    doubled = _double()
    assert doubled(np.float32(1.5)) == 3.0
    assert sum(doubled.stats.cache_hits.values()) == 1 and not doubled.stats.cache_misses
    assert _write().cache_hits == 1
    assert len(list(tmp_path.rglob("*.nbc"))) == 2


def test_what_a_child_could_not_compile_is_compiled_here_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_in_a_child", lambda work: None)
    doubled = _double()
    assert doubled(np.float32(1.5)) == 3.0
    assert not doubled.stats.cache_hits
    assert _write().cache_hits == 0
    assert len(list(tmp_path.rglob("*.nbc"))) == 2
    assert _write().cache_hits == 1


def test_a_child_that_fails_ends_and_holds_no_file_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    wait = os.waitpid
    monkeypatch.setattr(os, "waitpid", lambda *given: ended.append(wait(*given)[1]))
    with (tmp_path / "lock").open("w") as held:

        def fail() -> None:
            try:
                os.fstat(held.fileno())
            except OSError:
                (tmp_path / "not-held").touch()
            raise ValueError

        child._in_a_child(fail)
        assert os.fstat(held.fileno())
    assert ended == [0]  # it did not go on with its parent's tests
    assert (tmp_path / "not-held").exists()


def test_where_nothing_can_be_kept_this_process_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any) -> None:
        raise RuntimeError("no locator available")

    monkeypatch.setattr("numba.core.ccallback.FunctionCache", nowhere)
    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", nowhere)
    assert _double()(2) == 4
    run(_write(), 0, 1)
    assert not list(tmp_path.rglob("*.nbc"))
