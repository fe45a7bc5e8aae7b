"""PPO and DPO under SIGKILL and over two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from rl_house import SHARED_KINDS, build, rank, together, untimed

from heedful.run import Run

SCRIPT = str(Path(__file__).with_name("rl_house.py"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_ppo_killed_at_any_moment_ends_like_one_never_killed(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "killed", str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert all(result["status"] == 0 and result["same"] and result["lines"] for result in results), results
    assert sum(result["deaths"] for result in results) > len(results)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """The same prompts and seeds, whitened over both, summed over both; and both end at once."""
    build(tmp_path / "house")
    rank(tmp_path)
    together(SCRIPT, "rank", str(tmp_path))
    assert len(untimed(Run(tmp_path / "early-2", "early", seed=1))) == 2  # of four iterations
    for stage in ("ppo", "dpo", "kto", "bco", *SHARED_KINDS):
        one, two = (Run(tmp_path / f"{stage}-{ways}", stage, seed=1) for ways in (1, 2))
        for first, second in zip(untimed(one), untimed(two), strict=True):
            assert first.keys() == second.keys()
            for name in first.keys() - {"duels/accuracy"}:  # margins begin at 0, and their signs are rounding's
                assert first[name] == pytest.approx(second[name], rel=1e-5, abs=1e-5), (stage, name)
        trained, joint = (load_file(run.model / "model.safetensors") for run in (one, two))
        for name, tensor in trained.items():
            assert torch.allclose(tensor, joint[name], atol=1e-4), name
