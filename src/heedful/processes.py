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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from rich.markup import escape

from heedful.errors import InputError, ResourceError
from heedful.run.progress import console

LEADER = "HEEDFUL_LEADER"  # the environment's name for rank 0's process number
GRACE = 15.0  # seconds in which rank 0 may say itself what ended another process, and others may end by themselves
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # as launchers call the number
MEND = "start them with `heedful run … --processes N`, or with `torchrun --nproc-per-node N -m heedful …`"
STOPPED = (130, 143)  # a signal that rank 0 shared: everyone saves and ends
FAULTS = (2, 4, 5, 6, 7)  # exit codes that say what a process found


@dataclass(frozen=True, slots=True)
class _Other:
    """A process that was started, and what it says."""

    rank: int
    process: subprocess.Popen[bytes]
    said: IO[str]

    @property
    def fault(self) -> bool:
        return self.process.poll() not in (None, 0, *STOPPED)

    def obituary(self, count: int) -> ResourceError:
        self.said.seek(0)
        words = self.said.read().strip().splitlines()[-1:]
        code = self.process.returncode
        error = ResourceError(
            f"process {self.rank} of {count} ended with code {code}{': ' + words[0] if words else ''}; "
            "run the same command again: it goes on from the last checkpoint"
        )
        error.exit_code = code if code in FAULTS else ResourceError.exit_code
        return error

    def end(self) -> None:
        try:
            self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:  # it hangs in a collective; only rank 0 writes, so nothing is lost
            self.process.kill()
            self.process.wait()


def rank() -> int:
    """Which of several processes this one is."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_scattered() -> None:
    """InputError where a launcher was asked for several processes, and this one would work alone or not know its part.

    `accelerate launch` on processors starts one whatever `--num_processes` says; above 1 it sets MASTER_ADDR.
    """
    if "RANK" in os.environ:
        if rank() >= processes():
            raise InputError(f"RANK = {rank()} is none of WORLD_SIZE = {processes()} processes: {MEND}")
        return
    for name in SIZES:
        if int(os.environ.get(name, "1")) > 1:
            raise InputError(f"{name} = {os.environ[name]} says that there are several processes, and no RANK: {MEND}")
    if {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise InputError(f"accelerate launch was asked for several processes, and has started one: {MEND}")


@contextmanager
def together(count: int) -> Iterator[None]:
    """Inside the block this process is rank 0 of `count`; each of the others runs the same command line.

    Where torchrun or this function started us already, nothing is started again.
    """
    if count == 1 or "RANK" in os.environ:
        yield
        return
    before = dict(os.environ)
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "RANK": "0", "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), LEADER: str(os.getpid())}
    others: list[_Other] = []
    done = threading.Event()
    with ExitStack() as files:
        try:
            for rank in range(1, count):
                others.append(_start(rank, files.enter_context(tempfile.TemporaryFile("w+"))))
            threading.Thread(target=_watch, args=(others, done), daemon=True).start()
            yield
        except RuntimeError as error:  # a collective whose other side is gone
            if dead := _dead(others, wait=5.0):
                raise dead.obituary(count) from error
            raise
        finally:
            done.set()
            for other in others:
                other.process.terminate()
            for other in others:
                other.end()
            os.environ.clear()
            os.environ |= before


def _start(rank: int, said: IO[str]) -> _Other:
    """In a process group of its own: Ctrl-C reaches rank 0 alone, which shares it at the next step, or ends them."""
    environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    command = [sys.executable, "-m", "heedful", *sys.argv[1:]]
    process = subprocess.Popen(
        command, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL, process_group=0
    )
    return _Other(rank, process, said)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _dead(others: Sequence[_Other], wait: float) -> _Other | None:
    """One that ended by a fault, within so many seconds."""
    until = time.monotonic() + wait
    while True:
        for other in others:
            if other.fault:
                return other
        if time.monotonic() >= until:
            return None
        time.sleep(0.1)


def _watch(others: Sequence[_Other], done: threading.Event) -> None:
    """When one dies, rank 0 might wait for it for ever: unless it says so itself within the grace, all end here."""
    while not done.wait(0.5):
        if (dead := _dead(others, wait=0.0)) and not done.wait(GRACE):
            error = dead.obituary(len(others) + 1)
            console.print(f"[bold red]heedful:[/bold red] {escape(str(error))}", soft_wrap=True)
            for other in others:
                other.process.kill()
            os._exit(error.exit_code)
