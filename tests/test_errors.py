"""What the operating system refuses, in a sentence with the exit code of its kind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from heedful.errors import of_system, text_of


@pytest.mark.parametrize(
    ("number", "name", "code", "says"),
    [
        (errno.ENOENT, "a", 2, "a: there is no such file or folder"),
        (errno.EISDIR, "a", 2, "a: is a folder where a file is needed"),
        (errno.ENOTDIR, "a/b", 2, "a/b: a file stands where a folder is needed"),
        (errno.EEXIST, "a", 2, "a: a file stands where a folder is needed"),
        (errno.ENAMETOOLONG, "a" * 300, 2, "… is too long for a file's name"),
        (errno.EACCES, "a", 4, "a: this user may not read or write there"),
        (errno.EROFS, "a", 4, "a: this user may not read or write there"),
        (errno.ENOSPC, "a", 4, "a: no space is left on the disk"),
        (errno.ENOSPC, None, 4, "no space is left on the disk"),
        (errno.EIO, "a", 4, "a: the system refused (Input/output error)"),
    ],
)
def test_what_the_system_refuses(number: int, name: str | None, code: int, says: str) -> None:
    told = of_system(OSError(number, os.strerror(number), name))
    assert told is not None and told.exit_code == code and says in str(told)
    assert "\n" not in str(told) and "Errno" not in str(told)


def test_what_libraries_wrap() -> None:
    full = of_system(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    memory = of_system(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert full and memory and full.exit_code == memory.exit_code == 4
    assert of_system(RuntimeError("something else")) is None and of_system(OSError(errno.EPIPE, "Broken pipe")) is None


def test_a_text_without_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfname")
    assert text_of(tmp_path / "a") == "name"
