"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

METRICS = "metrics.jsonl"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_text(path: Path, text: str) -> None:
    """Write a file beside its place, flush it to the disk, then rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{escape(path.name)}.????????"):  # by a writer that was killed; a file has one
        left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill the folder that is yielded; it takes its place, replacing an older one, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{escape(path.name)}.*"):  # by a writer that was killed; folders have one writer
        if left.is_dir():
            shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield scratch
        for file in scratch.rglob("*"):
            if file.is_file():
                _sync(file)
        os.chmod(scratch, 0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    _sync(path.parent)


def digest(path: Path) -> str:
    """sha256 of a file, or of a folder's file names and contents; logs of metrics, which hold times, don't count."""
    hasher = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name != METRICS):
            hasher.update(f"{file.relative_to(path)}\0{digest(file)}\n".encode())
        return hasher.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()
