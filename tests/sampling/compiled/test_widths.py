"""A processor with vectors of 16 floats compiles for one of 8 as well: its arithmetic is held to the same laws here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heedful.ops.compiled.tiles import FEATURES, LANES


@pytest.mark.slow
@pytest.mark.skipif(LANES == 8, reason="this processor has no wider vectors")
def test_parts_hold_with_narrow_vectors() -> None:
    features = ",".join(name.replace("+", "-") if "avx512" in name else name for name in FEATURES)
    narrow = os.environ | {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
    parts = str(Path(__file__).with_name("test_parts.py"))
    pytest_run = [sys.executable, "-m", "pytest", "-n", "0", "-rs", parts]
    done = subprocess.run(pytest_run, env=narrow, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "no AVX512_BF16 here" in done.stdout, "where vectors are narrow nothing is in bfloat16"
