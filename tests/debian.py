"""Programs that tests need and Debian has, installed where they lack."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

APT = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
CANNOT = (  # what keeps a package from being installed here; empty: nothing
    "needs root, to be installed"
    if os.geteuid() != 0
    else "comes as Debian's package, and this is no Debian"
    if not (Path("/etc/debian_version").exists() and shutil.which("apt-get"))
    else ""
)


def installed(package: str, find: Callable[[], Path | None]) -> Path:
    """What `find` finds, the package installed first where it finds nothing: by one test process, the others wait.

    Skips the test where that fails.
    """
    if (found := find()) is not None:
        return found
    if CANNOT:
        pytest.skip(f"{package} is not here and {CANNOT}")
    with Path(tempfile.gettempdir(), f"heedful-{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find() is None:
            sys.stderr.write(f"the tests install Debian's package {package}\n")
            _install(package)
    found = find()
    if found is None:
        pytest.skip(f"Debian's package {package} is there, but not its programs")
    return found


def _install(package: str) -> None:
    for act in (["update"], ["install", package]):
        done = subprocess.run(
            [*APT, *act], env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
            pytest.skip(f"{package} is not here and can't be installed: {why}")
