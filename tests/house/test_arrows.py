"""The arrows of the house: who may import whom, and which rooms never touch torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "heedful"
UNDER_ALL = {"records", "config", "run", "errors", "wording"}
MAY_IMPORT = {
    "ops": set(),
    "batches": set(),
    "models": {"data", "ops", "batches"},
    "data": {"ops", "batches"},
    "algorithms": {"ops", "batches"},
    "judges": {"data", "models", "ops", "batches"},
    "sampling": {"data", "models", "ops", "batches"},
    "rewards": {"judges", "data", "models", "ops", "batches"},
    "train": {"algorithms", "rewards", "judges", "sampling", "data", "models", "ops", "batches"},
    "evaluate": {"algorithms", "rewards", "judges", "sampling", "data", "models", "ops", "batches"},
    "feedback": {"evaluate", "data"},
    "feedback_cli": {"feedback", "evaluate", "data"},
    "report": set(),
    "world": set(),
    "serve": {"sampling", "data", "models", "ops", "batches"},
    "studio": {"feedback"},
    "studio_cli": {"studio", "studio_demo", "feedback", "feedback_cli"},
    "studio_demo": {"feedback", "world"},
    "next_items": {"studio_cli", "feedback", "rewards"},
    "doctor": {"ops", "feedback"},
    "estimate": {"data", "ops"},
    "runs": {"evaluate", "report"},
    "processes": set(),
    "__main__": {"cli"},
}
MAY_IMPORT["stages"] = set(MAY_IMPORT) - {
    "doctor", "estimate", "runs", "serve", "feedback_cli", "studio", "studio_cli", "studio_demo",
    "next_items",
}  # fmt: skip
MAY_IMPORT["pipeline"] = {"stages", "ops", "processes"}
MAY_IMPORT["sweep"] = {"pipeline", "report"}
MAY_IMPORT["frontier"] = {"evaluate", "ops", "report"}
MAY_IMPORT["cli"] = set(MAY_IMPORT) - {"__main__"}
NO_TORCH = {
    "records", "config", "run", "errors", "wording", "feedback", "world", "report", "studio", "studio_cli",
    "studio_demo",
}  # fmt: skip


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "heedful":
                names |= {f"heedful.{alias.name}" for alias in node.names}
    return names


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_follow_the_arrows(path: Path) -> None:
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("heedful.")}
    if room in UNDER_ALL:
        assert rooms <= UNDER_ALL, f"{room} lies under all rooms and imports {rooms - UNDER_ALL}"
    elif room in MAY_IMPORT:
        assert rooms - {room} - UNDER_ALL <= MAY_IMPORT[room] | {"__version__"}
    else:
        assert room == "__init__", f"'{room}' is no room of the house: give it its place here and in the docs"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) in NO_TORCH], ids=lambda p: str(p.relative_to(SOURCE)))
def test_rooms_without_torch(path: Path) -> None:
    heavy = {"torch", "transformers", "accelerate", "datasets", "safetensors", "tokenizers"}
    assert not {name.split(".")[0] for name in imports_of(path)} & heavy


def test_ops_import_torch_alone() -> None:
    for path in (SOURCE / "ops").glob("*.py"):
        outside = {n.split(".")[0] for n in imports_of(path)} - set(sys.stdlib_module_names) - {"torch", "heedful"}
        assert not outside, f"{path.name} imports {outside}"


def test_help_imports_no_torch() -> None:
    code = """
import sys
from heedful.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
