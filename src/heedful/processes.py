"""Several processes of one command on this machine: this one is rank 0; the others are started, watched and ended here.

`torchrun` does the same for one stage or a recipe, on one machine or on many; this needs no other command and keeps
heedful's exit codes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from rich.markup import escape

from heedful.errors import ResourceError
from heedful.run.progress import console

GRACE = 15.0  # seconds in which rank 0 may say itself what ended another process
STOPPED = (130, 143)  # a signal reached it too: everyone saves and ends


@contextmanager
def together(count: int) -> Iterator[None]:
    """Inside the block this process is rank 0 of `count`; each of the others runs the same command line.

    Where torchrun or this function started us already, nothing is started again.
    """
    if count == 1 or "RANK" in os.environ:
        yield
        return
    place = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    place |= {"MASTER_PORT": str(_free_port())}
    with tempfile.TemporaryFile("w+") as said:
        others = [_start(rank, place, said) for rank in range(1, count)]
        os.environ.update(place | {"RANK": "0", "LOCAL_RANK": "0"})
        done = threading.Event()
        threading.Thread(target=_watch, args=(others, said, done), daemon=True).start()
        try:
            yield
        except RuntimeError as error:  # a collective whose other side is gone
            if rank := _dead(others, wait=5.0):
                raise ResourceError(_obituary(rank, others, said)) from error
            raise
        finally:
            done.set()
            for other in others:
                other.terminate()
            for other in others:
                other.wait()


def _start(rank: int, place: dict[str, str], said: IO[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    command = [sys.executable, "-m", "heedful", *sys.argv[1:]]
    return subprocess.Popen(command, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _dead(others: Sequence[subprocess.Popen[bytes]], wait: float) -> int:
    """The rank of one that ended by a fault, within so many seconds; 0 for none."""
    until = time.monotonic() + wait
    while True:
        for rank, other in enumerate(others, start=1):
            if other.poll() not in (None, 0, *STOPPED):
                return rank
        if time.monotonic() >= until:
            return 0
        time.sleep(0.1)


def _obituary(rank: int, others: Sequence[subprocess.Popen[bytes]], said: IO[str]) -> str:
    said.seek(0)
    words = said.read().strip().splitlines()[-1:]
    return (
        f"process {rank} of {len(others) + 1} ended with code {others[rank - 1].returncode}"
        f"{': ' + words[0] if words else ''}; run the same command again: it goes on from the last checkpoint"
    )


def _watch(others: Sequence[subprocess.Popen[bytes]], said: IO[str], done: threading.Event) -> None:
    """When one dies, rank 0 might wait for it for ever: unless it says so itself within the grace, all end here."""
    while not done.wait(0.5):
        if (rank := _dead(others, wait=0.0)) and not done.wait(GRACE):
            console.print(f"[bold red]heedful:[/bold red] {escape(_obituary(rank, others, said))}", soft_wrap=True)
            for survivor in others:
                survivor.kill()
            os._exit(ResourceError.exit_code)
