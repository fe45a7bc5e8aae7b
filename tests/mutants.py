"""Which small faults would the tests let pass? `python tests/mutants.py src/heedful/algorithms/direct`.

Makes every mutant of the given files (an operator turned: + and −, * and /, < and >, min and max; a sign dropped; a
constant changed; `not` dropped), one at a time in a copy of the sources, and runs the tests that mirror them (or those
named by --tests). A mutant that no test kills is printed with its file and line; the exit status is 1 where one lives.
Each mutant runs in a fork of one process that has loaded torch, so that it costs little more than its tests. Lines that
end in `# mutants: equivalent` change nothing that can be seen, and are left out.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).parents[1]
SKIP = "# mutants: equivalent"
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "cummin": "cummax", "log": "exp"}
TIME = 300  # seconds that a mutant's tests may take: one that loops for ever is killed too


def faults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What could stand in a node's place: (what changed, the other node)."""
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in OPERATORS:
            if isinstance(op, ast.Mult | ast.Add) and any(_is_text(side) for side in ast.iter_child_nodes(node)):
                return
            yield f"{_name(op)} → {OPERATORS[type(op)].__name__}", _with(node, op=OPERATORS[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in OPERATORS:
            yield f"{_name(op)} → {OPERATORS[type(op)].__name__}", _with(node, ops=[OPERATORS[type(op)]()])
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield f"{_name(node.op)} dropped", operand
        case ast.Constant(value=bool()):
            return
        case ast.Constant(value=int() | float() as value):
            yield f"{value} → {value + 1}", _with(node, value=value + 1)
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} → {NAMES[name]}", _with(node, attr=NAMES[name])


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _name(node: ast.AST) -> str:
    return type(node).__name__


def _with(node: ast.AST, **changes: object) -> ast.AST:
    changed = deepcopy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


class _Replace(ast.NodeTransformer):
    """Puts another node in the place of the n-th."""

    def __init__(self, index: int, other: ast.AST) -> None:
        self.left, self.other = index, other

    def visit(self, node: ast.AST) -> ast.AST:
        self.left -= 1
        if self.left == -1:
            return ast.copy_location(self.other, node)
        return self.generic_visit(node)


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes in the order in which `_Replace` comes by."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _in_order(child)


def mutants(text: str) -> Iterator[tuple[int, str, str]]:
    """Every mutant of a file: (line, what changed, the file's new text). Annotations and subscripts' types stay."""
    lines = text.splitlines()
    tree = ast.parse(text)
    for index, node in enumerate(_in_order(tree)):
        line = getattr(node, "lineno", 0)
        if not line or lines[line - 1].rstrip().endswith(SKIP):
            continue
        for said, other in faults(node):
            yield line, said, ast.unparse(ast.fix_missing_locations(_Replace(index, other).visit(deepcopy(tree))))


def killed(source: Path, text: str, tests: list[str]) -> bool:
    """Whether a test fails on a copy of the sources in which this file reads so."""
    child = os.fork()
    if child == 0:
        import pytest

        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "src"
            shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
            (copy / source.relative_to(ROOT / "src")).write_text(text)
            sys.path.insert(0, str(copy))
            sys.dont_write_bytecode = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            signal.alarm(TIME)
            status = pytest.main(
                ["-x", "-q", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]
            )
        os._exit(0 if status == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def mirrored(path: Path) -> list[str]:
    """The tests of a folder or file of the sources."""
    folder = ROOT / "tests" / path.relative_to(ROOT / "src" / "heedful").with_suffix("")
    return [str(folder if folder.is_dir() else folder.parent)]


def main() -> int:
    """Print every mutant that lives; 1 where one does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="files or folders under src/heedful")
    parser.add_argument("--tests", nargs="+", help="tests to run; by default those in the mirrored folder")
    given = parser.parse_args()
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    lived = made = 0
    for path in (path.resolve() for path in given.paths):
        tests = given.tests or mirrored(path)
        sources = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if killed(sources[0], sources[0].read_text(), tests):
            raise SystemExit(f"{', '.join(tests)}: fail on the sources as they are, so that they would kill anything")
        for source in sources:
            for line, said, text in mutants(source.read_text()):
                made += 1
                if not killed(source, text, tests):
                    lived += 1
                    sys.stdout.write(f"{source.relative_to(ROOT)}:{line}: {said} lives\n")
                    sys.stdout.flush()
    sys.stdout.write(f"{made} mutants, {lived} alive\n")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
