"""Files hold one idea and functions fit a screen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "heedful"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_size(path: Path) -> None:
    text = path.read_text()
    algorithm = path.relative_to(SOURCE).parts[0] == "algorithms"
    assert text.count("\n") <= (200 if algorithm else 400)  # one algorithm is read in one go
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} is {length} lines long"
