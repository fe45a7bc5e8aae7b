"""Models of runs, served for the studio by processes of their own: `heedful serve`, started and ended with it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from heedful.errors import InputError
from heedful.run import console, stage_folders
from heedful.studio.settings import Model

POLICY = "ForCausalLM"  # what the architecture of a model that answers ends with


def models_of_runs(runs: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Name -> model folder. wanted: `RUN`, for its first fine-tuned policy and its last one, or `RUN/STAGE`; the folder
    of the runs may stand before it.

    InputError: there is no such run or stage, or it has no model that answers.
    """
    found: dict[str, Path] = {}
    for text in wanted:
        path = Path(text)
        inside = path.relative_to(runs) if path.is_relative_to(runs) else path
        run, _, stage = inside.as_posix().strip("/").removesuffix("/model").partition("/")
        policies = _policies(runs / run)
        if not policies:
            raise InputError(f"--serve {text}: {runs / run} holds no model that answers; --runs names the folder")
        if stage:
            stage = stage.split("-", 1)[1] if stage[:2].isdigit() and "-" in stage else stage
            if stage not in policies:
                raise InputError(f"--serve {text}: the run has no policy '{stage}'; it has {', '.join(policies)}")
            chosen = [stage]
        else:
            chosen = _before_and_after(list(policies))
        for name in (one for one in chosen if policies[one] not in found.values()):
            found[name if name not in found else f"{run}/{name}"] = policies[name]
    return found


def _before_and_after(names: list[str]) -> list[str]:
    """What most want to compare: the fine-tuned model that training began from, and what it has become."""
    first = next((name for name in names if name.startswith("sft")), names[0])
    return [first] if first == names[-1] else [first, names[-1]]


def _policies(root: Path) -> dict[str, Path]:
    """Stage -> model folder of each complete stage that left a policy."""
    return {
        name: folder / "model"
        for name, folder in stage_folders(root).items()
        if (folder / "manifest.json").exists() and _answers(folder / "model" / "config.json")
    }


def _answers(config: Path) -> bool:
    try:
        architectures = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
    except (OSError, ValueError):
        return False
    return str(architectures[0]).endswith(POLICY)


@contextmanager
def served(folders: dict[str, Path]) -> Iterator[tuple[Model, ...]]:
    """A server for each folder, ended at the end. They answer some seconds after their start."""
    servers, models = [], []
    before = signal.signal(signal.SIGTERM, _end)  # whose default would leave the servers running
    try:
        for name, folder in folders.items():
            port = _free_port()
            command = [sys.executable, "-m", "heedful", "serve", str(folder), "--port", str(port)]
            servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            models.append(Model(name, f"http://127.0.0.1:{port}/v1"))
            console.print(f"      studio serves '{name}' from {folder}", markup=False, soft_wrap=True)
        yield tuple(models)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        signal.signal(signal.SIGTERM, before)


def _end(*_: object) -> None:
    raise SystemExit(143)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
