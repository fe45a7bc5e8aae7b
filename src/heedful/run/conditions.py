"""Under which conditions a stage was begun or completed, and what is left of one that came to nothing.

A stage that has something to go on from goes on only under the conditions that it was begun with (begun.json). How it
computes is no condition: keys that config marks with IsManner may change on the way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from heedful.config.paths import essential
from heedful.config.sections import Section
from heedful.errors import InputError, ResumeError
from heedful.run.atomic import METRICS, atomic_text
from heedful.run.folder import CACHE, LOCK, Run

BEGUN, RESOLVED = "begun.json", "config.toml"
TRACES = (BEGUN, RESOLVED, METRICS, "samples.jsonl")  # nothing goes on from these
WORK = ("checkpoints", "members")  # folders in which there may be something to go on from
LAST_GOOD = "last-good"  # what training falls back to, which no step can begin with
Table = Mapping[str, Any]


def conditions(seed: int, config: Table, inputs: Mapping[str, str]) -> dict[str, Any]:
    """What decides a stage's result, as it stands in begun.json."""
    return {"seed": seed, "config": dict(config), "inputs": dict(inputs)}


def differences(old: Table, new: Table, prefix: str = "") -> list[str]:
    """`key: before → after` for every value that is not the same in both."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "nothing"), new.get(key, "nothing")
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!s:.60} → {after!s:.60}")
    return lines


def changes(
    kind: type[Section], then: Table, now: Table, counts: Callable[[Section], dict[str, Any]] = essential
) -> list[str]:
    """What differs between two conditions of a stage; keys that came into being since stand at their defaults.

    counts: gives the values of a config that may not differ.
    """
    try:
        configs = [counts(kind.model_validate(table["config"])) for table in (then, now)]
    except ValidationError:  # of another kind of stage, or with keys that are gone
        configs = [then["config"], now["config"]]
    return differences({**then, "config": configs[0]}, {**now, "config": configs[1]})


def begin(kind: type[Section], run: Run, now: Table) -> None:
    """Write down what the stage begins with, once. ResumeError: it was begun otherwise, and has come somewhere."""
    path, resolved = run.path / BEGUN, run.path / RESOLVED
    if path.exists():
        changed = changes(kind, json.loads(path.read_text(encoding="utf-8")), now)
        if not changed and resolved.exists():  # a kill may come between the two
            return
        if changed and _can_go_on(run.path):
            raise ResumeError(
                f"{run.path}: was begun under other conditions ({'; '.join(changed[:5])}). "
                f"Undo the change, or remove {run.path} to begin the stage anew"
            )
        if changed and run.main:
            _forget(run.path)
    if run.main:
        atomic_text(path, json.dumps(now, indent=1) + "\n")
        atomic_text(resolved, tomli_w.dumps(now["config"]))


def is_begun(kind: type[Section], run: Run, now: Table) -> bool:
    """Whether the stage was begun under these conditions: for processes that wait for the one that writes."""
    try:
        return not changes(kind, json.loads((run.path / BEGUN).read_text(encoding="utf-8")), now)
    except FileNotFoundError:
        return False


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[None]:
    """Bad input that is found before a stage has anything to go on from leaves no trace of it: mended, it begins anew.

    What stood in the folder before stays, and so does what is kept by its hash.
    """
    before = set(folder.iterdir()) if folder.is_dir() else None
    own = set(before or ()) if folder / BEGUN not in (before or ()) else set()  # the user's, where nothing was begun
    try:
        yield
    except InputError:
        if folder.is_dir() and not _can_go_on(folder, own):
            _forget(folder, own)
            if before is None and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _can_go_on(folder: Path, but: Collection[Path] = ()) -> bool:
    """Whether there is a file, beside those named, that a stage goes on from or has made for others."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return any(folder / file.parts[0] not in but and not _is_trace(file) for file in files)


def _is_trace(file: Path) -> bool:
    place, *inside = file.parts
    if place in WORK:  # but for scratch, damage put aside, members' own traces, and what no step can begin with
        return any(part.startswith(".") or part in (*TRACES, LAST_GOOD) for part in inside)
    return place in (*TRACES, LOCK, CACHE)


def _forget(folder: Path, but: Collection[Path] = ()) -> None:
    """Remove the traces of a stage that came to nothing, but what is kept by its hash; all else is not the stage's."""
    for entry in folder.iterdir():
        if entry in but:
            continue
        if entry.name in WORK:
            shutil.rmtree(entry)
        elif entry.name in TRACES:
            entry.unlink()
