"""A Python function as a Reward: `module:function`, or `file.py:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Self

import torch

from heedful.errors import InputError, Killed
from heedful.records import Prompt
from heedful.rewards.protocol import Score

SHOWN = 80  # characters of an answer that a fault names


class FunctionReward:
    """Calls `function(prompt, completion)` for every answer; what it returns must be a finite number."""

    def __init__(self, function: Callable[[Prompt, str], Any], name: str) -> None:
        self.function, self.name = function, name

    @classmethod
    def load(cls, place: str) -> Self:
        """InputError where there is no such file, module or function, or where it can't be imported."""
        where, _, name = place.rpartition(":")
        module = _from_file(Path(where)) if where.endswith(".py") else _by_name(where, place)
        function = getattr(module, name, None)
        if not callable(function):
            here = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")) or "none"
            raise InputError(f"{place}: {where} has no function '{name}' (functions there: {here})")
        return cls(function, place)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Score]:
        """One score for each answer, in order. Networks of the function's own compute as it says, whatever the
        precision of training."""
        with ExitStack() as stack:
            for kind in filter(torch.is_autocast_enabled, ("cpu", "cuda")):
                stack.enter_context(torch.autocast(kind, enabled=False))
            return [Score(self._one(prompt, text)) for prompt, text in zip(prompts, completions, strict=True)]

    def _one(self, prompt: Prompt, text: str) -> float:
        answer = f"the answer {text[:SHOWN]!r} to prompt {prompt.id!r}"
        try:
            found = self.function(prompt, text)
        except Killed:
            raise
        except (Exception, SystemExit) as error:
            where, said = self._line_of(error), f"{type(error).__name__}: {error}"
            raise InputError(f"{self.name} failed on {answer}: {where}{said}") from error
        try:
            value = float(found)
        except (TypeError, ValueError):
            raise InputError(f"{self.name} gave {found!r} for {answer}: a reward must be a number") from None
        if not isfinite(value):
            raise InputError(f"{self.name} gave {value} for {answer}: a reward must be finite")
        return value

    def _line_of(self, error: BaseException) -> str:
        """The deepest line of the function's own file that led to a failure, or nothing where it isn't Python's."""
        own = getattr(getattr(self.function, "__code__", None), "co_filename", None)
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == own]
        return f"{own}, line {lines[-1]}: " if lines else ""


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    name = f"heedful_reward_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader  # a .py file has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the file look for it there
    try:
        spec.loader.exec_module(module)
    except Killed:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{path} can't be imported: {type(error).__name__}: {error}") from error
    return module


def _by_name(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Killed:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{place}: module {name} can't be imported: {type(error).__name__}: {error}") from error
