"""Compiled work: functions of numbers and addresses that all of torch's OpenMP threads run together.

A function takes parts of its work by counting up a number that its threads share, so what a part computes depends on
its index alone, never on who computes it. Threads of our own would fight with torch's, which wait for work by spinning.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from llvmlite import ir
from numba import carray, njit, types
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic

from heedful.ops.compiled.child import Kept
from heedful.ops.compiled.jit import Function

NUMBERS = 32  # what a function is told
TAKEN, BEGUN, PARTS, KIND = 0, 1, 2, 3  # parts taken so far, threads begun so far, parts in all, which function
FIRST = 4  # of what the function itself names
Numbers = types.CPointer(types.int64)


def outer(function: Function) -> Function:
    """Compile a function that makes arrays of addresses."""
    return cast(Function, njit(error_model="numpy")(function))


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_: Any, address: Any) -> Any:
    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def counted(_: Any, numbers: Any, index: Any) -> Any:
    """numbers[index]++, whoever else does so at the same time; what it was before."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(Numbers, types.intp), generate


@outer
def array_at(address: int, shape: Any, kind: Any) -> Any:
    """The array of this shape and dtype that lies at an address."""
    return carray(_pointer(address), shape, kind)


def keep(entry: Any) -> Any:
    """Compile what threads call, once a machine: kept beside the package, else in the user's cache folder.

    `entry` may hold nothing but numbers; that of `jit.version` among them, or what was kept of other sources is taken.
    """
    compiled: Any = CFunc(entry, normalize_signature(types.void(Numbers)), {}, {"error_model": "numpy"})
    with suppress(RuntimeError):  # neither can be written: every process compiles anew
        compiled.enable_caching()
        compiled._cache = Kept(compiled._cache, lambda _: compiled._compile_uncached())
    compiled.compile()
    return compiled


@cache
def _team() -> Any:
    """How the OpenMP runtime that torch links begins a parallel region; none where it does so otherwise."""
    library = next(iter(sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))), None)
    try:
        begin = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    begin.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    begin.restype = None
    return begin


def divides() -> bool:
    """Whether compiled work is shared out among as many threads as torch's own."""
    return torch.get_num_threads() == 1 or _team() is not None


def run(compiled: Any, kind: int, parts: int, *numbers: int) -> None:
    """All parts, by as many threads as torch has; by this one alone where there is no way to torch's."""
    if not parts:
        return
    told = (ctypes.c_int64 * NUMBERS)(0, 0, parts, kind, *numbers)
    threads = min(torch.get_num_threads(), parts)
    if threads == 1 or (begin := _team()) is None:
        compiled.ctypes(ctypes.cast(told, ctypes.POINTER(ctypes.c_int64)))
    else:
        begin(compiled.address, told, threads, 0)
