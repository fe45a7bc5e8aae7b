"""The server is killed while many write: every answer that was acknowledged is there, exactly once."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from tests.studio.crowd import BUSY, KILLS, all_is_there_once, fill, free_port, send_again, start, work_until

from heedful.feedback.backup import check_file, copy_database
from heedful.feedback.store import Store, count
from heedful.feedback.tables import judgement

WRITERS = 50


def wait_for(store: Store, more: int) -> None:
    """Until so many more are in, however busy the machine is."""
    end, first = time.monotonic() + 120, -1
    while time.monotonic() < end:
        with store.read() as connection:
            here = count(connection, judgement)
        first = here if first < 0 else first
        if here >= first + more:
            return
        time.sleep(0.1)


@pytest.mark.slow
def test_every_acknowledged_answer_outlives_a_kill_once(database: str, tmp_path: Path) -> None:
    port = free_port()
    project, tokens = fill(database, WRITERS, 600 * KILLS)
    base = f"http://127.0.0.1:{port}"
    acknowledged: list[str] = []
    for round_ in range(KILLS):
        server, stop = start(database, port), Event()
        with ThreadPoolExecutor(WRITERS) as pool:
            running = [pool.submit(work_until, stop, base, project, token) for token in tokens]
            live = Store(database)
            wait_for(live, 2 * WRITERS)
            if live.sqlite:
                copy_database(live, tmp_path / f"copy-{round_}.db")  # a backup under load is whole
                check_file(tmp_path / f"copy-{round_}.db")
            live.close()
            os.kill(server.pid, signal.SIGKILL)
            stop.set()
            results = [one.result() for one in running]
        server.wait()
        assert not [error for one in results for error in one.errors if BUSY not in error]
        acknowledged += [key for one in results for key in one.acknowledged]
        server = start(database, port)
        for one, token in zip(results, tokens, strict=True):
            acknowledged += send_again(base, token, one.broken)
        server.terminate()
        server.wait(20)
    assert len(acknowledged) > WRITERS * KILLS
    all_is_there_once(database, acknowledged)
