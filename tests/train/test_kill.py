"""SIGKILL at any moment, then the same command: weights and metrics are byte-equal to those of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_killed_at_any_moment_and_gone_on_is_never_killed(tmp_path: Path) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "killed.py"), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert all(result["status"] == 0 and result["same"] for result in results), results
    assert all(len(result["left"]) == 1 for result in results), results  # one checkpoint, no scratch
    assert sum(result["killed"] for result in results) >= len(results)
