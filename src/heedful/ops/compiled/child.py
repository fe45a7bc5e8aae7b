"""Who compiles doesn't run it: what the cache lacks is compiled by a child, and loaded like everywhere else.

In the process that compiles a function, its calls of others are bound to those as each was compiled by itself; where it
is loaded, to those within it. Both are right, and round otherwise: a run that was killed after it had compiled, and
goes on with what it loads, would not end as an unbroken one.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from typing import Any


class Kept:
    """numba's cache of one function, for one that is asked to compile itself: `compile` gives what it lacks."""

    def __init__(self, cache: Any, compile: Callable[[Any], Any]) -> None:
        self._cache, self._compile = cache, compile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """None: there is no child here, or it failed. Then this process compiles, and keeps."""
        found = self._cache.load_overload(signature, context)
        if found is None and hasattr(os, "fork"):
            _in_a_child(lambda: self._cache.save_overload(signature, self._compile(signature)))
            found = self._cache.load_overload(signature, context)
        return found


def _in_a_child(work: Callable[[], object]) -> None:
    """What it writes to disk stays. It holds no lock of this process, and a signal ends it as it ends any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads: the child uses none of theirs
        child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        work()
    finally:
        os._exit(0)
