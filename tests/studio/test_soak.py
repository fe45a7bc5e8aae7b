"""Twenty raters at once, as fast as they are served: nothing is locked, lost, or counted twice.

A few seconds here; `make test` gives them a minute, `make soak` ten.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Timer

import pytest
from tests.studio.crowd import SECONDS, all_is_there_once, fill, free_port, start, work_until

RATERS = 20


@pytest.mark.slow
def test_twenty_raters_at_once(database: str) -> None:
    port, stop = free_port(), Event()
    project, tokens = fill(database, RATERS, 100 + int(100 * SECONDS))
    server = start(database, port)
    timer = Timer(SECONDS, stop.set)
    try:
        with ThreadPoolExecutor(RATERS) as pool:
            running = [pool.submit(work_until, stop, f"http://127.0.0.1:{port}", project, token) for token in tokens]
            timer.start()
            results = [one.result() for one in running]
    finally:
        timer.cancel()
        server.terminate()
        server.wait(20)
    assert not [error for one in results for error in one.errors]
    assert not [key for one in results for key in one.broken], "a connection broke"
    acknowledged = [key for one in results for key in one.acknowledged]
    assert len(acknowledged) >= RATERS
    all_is_there_once(database, acknowledged)
