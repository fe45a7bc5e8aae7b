"""How functions are compiled: without Python's lock, and kept on disk, where there is a place to write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.sigutils import normalize_signature
from numpy.typing import NDArray

from heedful.ops.compiled.child import Kept

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Pairs = NDArray[np.uint16]  # bfloat16's bits
Panels = NDArray[Any]  # Floats or Pairs
Integers = NDArray[np.int64]

# Sums may be reordered, so that they fit vectors. NaN and infinity stay what they are: they tell that weights diverged.
SUMS = ("reassoc", "contract", "nsz", "arcp")


def kernel(*freedoms: str) -> Callable[[Function], Function]:
    """Compile a function of arrays and numbers, with these of LLVM's freedoms of float arithmetic.

    Nothing is allocated in these functions, so they count no references to arrays: that halves what LLVM has to read.
    """
    return cast(
        "Callable[[Function], Function]", njit(nogil=True, error_model="numpy", _nrt=False, fastmath=set(freedoms))
    )


def kept(function: Function) -> Function:
    """Compile what Python calls, once a machine: kept beside the package, else in the user's cache folder."""
    compiled: Any = njit(nogil=True, error_model="numpy", _nrt=False)(function)
    with suppress(RuntimeError):  # neither can be written: every process compiles anew
        compiled.enable_caching()
        compiled._cache = Kept(compiled._cache, lambda s: compiled._compiler.compile(*normalize_signature(s)))
    return cast(Function, compiled)


def version(file: str) -> int:
    """A number that changes with any source of this file's folder or of this one: the cache itself looks at the
    caller's file alone."""
    folders = Path(__file__).parent, Path(file).parent
    sources = b"".join(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py")))
    return int.from_bytes(sha256(sources).digest()[:4])
