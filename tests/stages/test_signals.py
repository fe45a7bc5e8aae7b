"""Ctrl-C in a stage that trains nothing, or before it trains: it ends there, and the same command finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from every_stage import build, stages

from heedful.errors import Stopped
from heedful.evaluate import divergence
from heedful.pipeline import run_single
from heedful.rewards import likelihood, model
from heedful.run import Manifest
from heedful.stages import average
from heedful.train import paired, reference

INSIDE: list[tuple[str, ModuleType, str]] = [
    ("blend", likelihood, "pack"),
    ("accuracy", model, "pack"),
    ("select", model, "pack"),
    ("average", average, "_load"),
    ("evaluate", divergence, "pack"),
    ("dpo", paired, "rank_examples"),
    ("dpo", reference, "pack"),
]
CATCHES_ALL = """
import atexit, os, signal

def rule(prompt, text):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        print("went on")
    except Exception:
        print("caught")
    return 1.0
"""


def interrupted(module: ModuleType, name: str, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT where something is first called that is called for each part of the work."""
    original: Callable[..., Any] = getattr(module, name)

    def signalling(*given: Any, **named: Any) -> Any:
        calls.append(name)
        signal.raise_signal(signal.SIGINT)
        return original(*given, **named)

    monkeypatch.setattr(module, name, signalling)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("signals") / "house")


@pytest.mark.parametrize(("kind", "module", "name"), INSIDE)
def test_a_stage_ends_where_the_signal_comes_and_the_same_command_goes_on(
    kind: str, module: ModuleType, name: str, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = stages(house)[kind]
    calls: list[str] = []
    with monkeypatch.context() as patched, pytest.raises(Stopped, match="To go on") as stopped:
        interrupted(module, name, calls, patched)
        run_single(config, tmp_path, seed=0)
    assert len(calls) == 1 and stopped.value.exit_code == 130
    assert not (tmp_path / "checkpoints").exists()
    run_single(config, tmp_path, seed=0)
    assert Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("more", "code"),
    [("", 130), ("atexit.register(os.kill, os.getpid(), signal.SIGINT)", -signal.SIGINT)],
    ids=["once", "again while it ends"],
)
def test_the_command_says_how_to_go_on(more: str, code: int, house: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(CATCHES_ALL + more)
    given = [f'completions=["{house}/completions.jsonl"]', "by.type=judge", f"by.function={tmp_path}/rules.py:rule"]
    sets = [word for one in given for word in ("--set", one)]
    command = [sys.executable, "-m", "heedful", "label", *sets, "--out", str(tmp_path / "label")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "To go on: run the same command again" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and not done.stdout
