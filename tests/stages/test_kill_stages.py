"""A signal at a random moment of any stage, then the same command: what is left is what an undisturbed one leaves.

HEEDFUL_KILLS says how often each stage is killed in a run of its own, and how often stopped; by default once. As a
script it is the process whose children die: `test_kill_stages.py ROOT`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from every_stage import build, stages
from rl_house import die_at, untimed

from heedful.config import StageConfig
from heedful.errors import Stopped
from heedful.pipeline import run_single
from heedful.run import Manifest, Run, digest
from heedful.world import available

TRIALS = int(os.environ.get("HEEDFUL_KILLS", "1"))
KINDS = list(stages(Path()))
OF_THE_MACHINE = ("time/", "memory/", "tokens_per_second")


def attempt(config: StageConfig, out: Path, moment: int, of: signal.Signals = signal.SIGKILL) -> tuple[int, int]:
    """The stage in a child that may get a signal. Its exit status, and how many moments it has lived through."""
    lived = out.with_suffix(".lived")
    if (pid := os.fork()) == 0:
        said = os.open(out.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1), os.dup2(said, 2)
        left = die_at(moment, of)
        try:
            run_single(config, out, seed=1)
            count, left[0] = -left[0], 0  # no signal any more: the next moment is this writing's own
            lived.write_text(str(count))
        except Stopped as stopped:
            os._exit(stopped.exit_code)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, int(lived.read_text()) if status == 0 else 0


def left_by(out: Path) -> dict[str, Any]:
    """All that must be the same: what the manifest says, but for the machine's part, and every file that is left."""
    manifest = Manifest.read(out)
    assert manifest
    summary = {key: value for key, value in manifest.summary.items() if not key.startswith(OF_THE_MACHINE)}
    files = {str(p.relative_to(out)): _content(p) for p in sorted(out.rglob("*")) if p.is_file()}
    return {**manifest.conditions, "summary": summary, "outputs": dict(manifest.outputs), **files}


def _content(file: Path) -> Any:
    match file.name:
        case "metrics.jsonl":
            return untimed(Run(file.parent, "", seed=1))
        case "manifest.json" | ".lock":
            return ""
    return digest(file)


def killed(root: Path) -> None:
    """Every stage whole, then killed or stopped and gone on with; one JSON line says what came of each."""
    house, results = build(root / "house"), dict[str, Any]()
    available()  # the world's prompts: seconds, which children then need not spend
    for number, kind in enumerate(KINDS):
        config, _ = stages(house)[kind]
        straight = root / f"{number:02d}-{kind}"  # together they are the run that the report shows
        status, moments = attempt(config, straight, 0)
        choose = random.Random(kind)
        results[kind] = {"moments": moments, "killed": 0, "stopped": 0, "differs": []}
        for trial in range(2 * TRIALS if status == 0 else 0):
            out, of = root / f"{kind}-{trial}", (signal.SIGKILL, signal.SIGINT)[trial % 2]
            for moment in (choose.randint(1, moments), choose.randint(1, moments), 0):
                status, _ = attempt(config, out, moment, of)
                results[kind]["killed"] += status == -signal.SIGKILL
                results[kind]["stopped"] += status == 128 + signal.SIGINT
                if status not in (-signal.SIGKILL, 128 + signal.SIGINT):
                    break
            if status == 0:
                whole, other = left_by(straight), left_by(out)
                results[kind]["differs"] += [k for k in {**whole, **other} if whole.get(k) != other.get(k)]
        results[kind] |= {"status": status, "said": "" if status == 0 else _said(root, kind)}
    sys.stdout.write(json.dumps(results) + "\n")


def _said(root: Path, kind: str) -> str:
    return "\n".join(path.read_text()[-2000:] for path in sorted(root.glob(f"*{kind}*.said")))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path_factory.mktemp("killed"))],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_was_killed_or_stopped_ends_as_one_that_was_not(kind: str, results: dict[str, Any]) -> None:
    result = results[kind]
    assert result["status"] == 0, result["said"]
    assert result["killed"] >= TRIALS and result["stopped"] >= TRIALS and result["moments"] > 4, result
    assert not result["differs"], result


if __name__ == "__main__":
    torch.set_num_threads(1)  # children must not wait for threads that a fork leaves behind
    killed(Path(sys.argv[1]))
