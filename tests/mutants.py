"""Which small faults would the tests let pass? `python tests/mutants.py src/heedful/algorithms/direct`.

Makes every mutant of the given files (an operator turned: + and −, * and /, < and >, min and max; a sign dropped; a
constant changed; `not` dropped), one at a time, and runs the tests that mirror them (or those named by --tests). A
mutant that no test kills is printed with its file and line; the exit status is 1 where one lives. Lines that end in
`# mutants: equivalent` change nothing that can be seen, and are left out.

The tests are collected once and run once, to see which of them reach which line and how long they take. Then each
mutant is a fork in which the code of one function is exchanged, and only the tests that reach its line run, the
quickest first, until one fails. What stands outside of functions acts when it is imported, so such a mutant, and every
one that seems to live, is tried from a fresh import.
"""

from __future__ import annotations

import argparse
import ast
import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

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


@dataclass(frozen=True)
class Mutant:
    """One fault in one file."""

    source: Path
    lines: range  # of its statement, without the statements inside
    said: str  # what changed
    tree: ast.Module
    on_import: bool  # it stands outside of every function


def mutants(source: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    text = source.read_text()
    lines, tree = text.splitlines(), ast.parse(text)
    inside = {id(node) for function in ast.walk(tree) for part in _body(function) for node in ast.walk(part)}
    statement = {id(node): at for at in ast.walk(tree) if isinstance(at, ast.stmt) for node in ast.walk(at)}
    for index, node in enumerate(_in_order(tree)):
        line = getattr(node, "lineno", 0)
        if not line or lines[line - 1].rstrip().endswith(SKIP):
            continue
        for said, other in faults(node):
            changed = ast.fix_missing_locations(_Replace(index, other).visit(deepcopy(tree)))
            yield Mutant(source, _lines(statement[id(node)], line), said, changed, id(node) not in inside)


def _lines(statement: ast.stmt, line: int) -> range:
    """The lines of the innermost statement, from that on which the fault stands."""
    inner = getattr(statement, "body", None)
    return range(line, inner[0].lineno if inner else (statement.end_lineno or line) + 1)


def _body(node: ast.AST) -> list[ast.AST]:
    """What of a node waits until it is called."""
    match node:
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            return list(body)
        case ast.Lambda(body=only):
            return [only]
    return []


@dataclass(frozen=True)
class Seen:
    """What one test does on the sources as they are."""

    test: str
    seconds: float
    lines: frozenset[tuple[str, int]]  # those of the given files that it reaches: (file, line)

    def reaches(self, mutant: Mutant) -> bool:
        """Whether it comes by the mutant; by its file at all, where that acts when it is imported."""
        name = str(mutant.source)
        return any(file == name and (mutant.on_import or line in mutant.lines) for file, line in self.lines)


@dataclass
class Trials:
    """What became of the mutants of some files."""

    made: int
    alive: list[tuple[Mutant, list[str]]]  # those that no test killed yet, each with the tests that may
    failing: str  # a test that fails on the sources as they are


class _Tracer:
    """Notes which lines of some files run."""

    def __init__(self, files: frozenset[str]) -> None:
        self.files, self.lines = files, set[tuple[str, int]]()

    def __call__(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self.files:
            return None
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self


class Collected:
    """A pytest plugin: does some work with the collected tests in place of pytest's own loop."""

    def __init__(self, work: Callable[[pytest.Session], Any]) -> None:
        self.work = work
        self.found: Any = None  # what the work gave; None where the tests could not be collected

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self.found = self.work(session)
        return True


def passes(session: pytest.Session, items: list[pytest.Item]) -> bool:
    """Whether these tests pass, one after the other until one fails."""
    for item, after in zip_longest(items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return False
    return True


def run_pytest(tests: list[str], work: Callable[[pytest.Session], Any]) -> Any:
    """What the work gives inside pytest, which stays silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    collected = Collected(work)
    pytest.main(["-q", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests], [collected])
    return collected.found


def in_fork(work: Callable[[], Any], seconds: float = TIME) -> Any:
    """What the work gives in a fork of this process; None where the fork died or took too long."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        signal.alarm(int(seconds))
        with suppress(BaseException), os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(work()))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(said) if said else None


def observe(session: pytest.Session, files: frozenset[str]) -> list[Seen] | str:
    """Run every test once and see what it does; or the name of one that fails."""
    seen = []
    for item, after in zip_longest(session.items, session.items[1:]):
        tracer, begun = _Tracer(files), time.process_time()
        sys.settrace(tracer)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        finally:
            sys.settrace(None)
        if session.testsfailed:
            return item.nodeid
        seen.append(Seen(item.nodeid, time.process_time() - begun, frozenset(tracer.lines)))
    return seen


def exchange(mutant: Mutant) -> None:
    """Give every function of the file the mutant's code, in place: whoever has imported it has the mutant."""
    name = str(mutant.source)
    before, now = (_codes(compile(tree, name, "exec")) for tree in (ast.parse(mutant.source.read_text()), mutant.tree))
    other = {old: new for old, new in zip(before, now, strict=True) if old != new}
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == name:
            function.__code__ = other.get(function.__code__, function.__code__)


def _codes(code: CodeType) -> list[CodeType]:
    """A code object and all inside it."""
    inner = [part for constant in code.co_consts if isinstance(constant, CodeType) for part in _codes(constant)]
    return [code, *inner]


class FromTree(MetaPathFinder, SourceLoader):
    """Imports one file of the sources as the mutant reads."""

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.source.relative_to(ROOT / "src").with_suffix("").parts
        self.mutant, self.module = mutant, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.mutant.source, loader=self) if name == self.module else None

    def get_filename(self, fullname: str) -> str:
        return str(self.mutant.source)

    def get_data(self, path: str) -> bytes:
        return ast.unparse(self.mutant.tree).encode()


def lives_afresh(mutant: Mutant, tests: list[str]) -> bool:
    """Whether the tests pass where this file was imported as the mutant reads."""
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, FromTree(mutant))
    return run_pytest(tests, lambda session: passes(session, session.items))


def try_all(session: pytest.Session, sources: list[Path]) -> Trials:
    """Try every mutant in a fork of this process, where the tests stand collected."""
    files = frozenset(map(str, sources))
    seen = in_fork(lambda: observe(session, files), 10 * TIME)
    if not isinstance(seen, list):
        return Trials(0, [], seen or "a test that took too long, or killed its process,")
    seen.sort(key=lambda one: one.seconds)
    items = {item.nodeid: item for item in session.items}
    trials = Trials(0, [], "")
    for mutant in (mutant for source in sources for mutant in mutants(source)):
        trials.made += 1
        reach = [one.test for one in seen if one.reaches(mutant)]
        if mutant.on_import or (reach and in_fork(partial(trial, session, mutant, [items[test] for test in reach]))):
            trials.alive.append((mutant, reach or list(items)))
        elif not reach:
            trials.alive.append((mutant, []))
    return trials


def trial(session: pytest.Session, mutant: Mutant, items: list[pytest.Item]) -> bool:
    """Whether the mutant passes its tests."""
    exchange(mutant)
    return passes(session, items)


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
    os.chdir(ROOT)
    made = alive = 0
    for path in (path.resolve() for path in given.paths):
        found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        sources = [source for source in found if source.parent.name != "compiled"]  # machine code can't be exchanged
        tests = given.tests or mirrored(path)
        trials: Trials | None = in_fork(partial(run_pytest, tests, partial(try_all, sources=sources)), 100 * TIME)
        if trials is None:
            raise SystemExit(f"{', '.join(tests)}: can't be collected")
        if trials.failing:
            raise SystemExit(f"{trials.failing} fails on the sources as they are, so that it would kill anything")
        made += trials.made
        for mutant, reach in trials.alive:
            if not reach or in_fork(partial(lives_afresh, mutant, reach)):
                alive += 1
                unseen = "" if reach else ", and no test comes by"
                sys.stdout.write(f"{mutant.source.relative_to(ROOT)}:{mutant.lines[0]}: {mutant.said} lives{unseen}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{made} mutants, {alive} alive\n")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
