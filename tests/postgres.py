"""A PostgreSQL server of one's own, started for a test and gone after it; Debian's package is installed if need be."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.debian import installed

MISSING = (  # what keeps a server from being started here, and can't be mended; empty: nothing
    "needs its driver: pip install 'heedful[postgres]'"
    if find_spec("psycopg") is None
    else "needs root and su, to start a server of its own"
    if os.geteuid() != 0 or shutil.which("su") is None
    else ""
)


def programs(under: Path = Path("/usr/lib/postgresql")) -> Path | None:
    """Where PostgreSQL's own programs lie; None: it is not installed."""
    return next((one for one in sorted(under.glob("*/bin"), reverse=True) if (one / "initdb").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of an empty database."""
    here = installed("postgresql", programs)
    folder = Path(tempfile.mkdtemp(prefix="heedful-pg-"))
    shutil.chown(folder, "postgres")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    data, quiet = folder / "data", {"check": True, "capture_output": True, "cwd": "/"}

    def as_postgres(command: str) -> None:
        subprocess.run(["su", "postgres", "-c", f"{here}/{command}"], **quiet)  # type: ignore[call-overload]

    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        as_postgres(f"initdb -D {data} -A trust -U heedful")
        as_postgres(f"pg_ctl -D {data} -o '{options}' -l {folder}/log -w start")
        as_postgres(f"createdb -h 127.0.0.1 -p {port} -U heedful labels")
        yield f"postgresql://heedful@127.0.0.1:{port}/labels"
    finally:
        as_postgres(f"pg_ctl -D {data} -m immediate stop")
        shutil.rmtree(folder)
