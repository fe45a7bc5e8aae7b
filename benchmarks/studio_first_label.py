"""From nothing to the first label: clone, set up, start the studio with its demo, own it, answer its first real item.

    make first-label        or: python -m benchmarks.studio_first_label [--installed]

Each phase is timed by the clock, with the machine's own part alone: what a person takes to read and to click comes on
top. Of the setup the processor time is told too, for machines that do other work meanwhile. --installed leaves out
clone and setup, and starts the heedful that is here. The first item of the demo's pairs that is no training item counts
as the first label; whether it is kept is then read from the raw log.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.studio_versus import Heedful, disturbance, running

ROOT = Path(__file__).parents[1]
VALUE = {"verdict": "prefer", "preferred": 0, "strength": 2}
WITHIN = {"from_nothing": 300.0, "installed": 60.0}  # seconds that are aimed for


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = act()
    return time.perf_counter() - start, found


def processor() -> float:
    """Seconds of processor time of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shell(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {done.returncode}\n{(done.stdout + done.stderr)[-1500:]}")


def first_label(side: Heedful) -> str:
    """Answer items of the demo's pairs, training items first, up to the first real one: what the answer was sent as."""
    projects = side.line("GET", "/api/projects")
    project = next(one["id"] for one in projects if one["sheet"]["compare"] == "pair")
    while True:
        task = side.line("POST", f"/api/projects/{project}/desk")["tasks"][0]
        sent = {"client_uuid": str(uuid.uuid4()), "value": VALUE, "seconds": 5.0}
        saved = side.line("POST", f"/api/assignments/{task['assignment']}/judgements", sent)
        if not task["training"]:
            # With checks: one item in twenty is a hidden check, which no rater can tell from the others.
            rows = side.line("GET", f"/api/projects/{project}/export?kind=raw&checks=true").splitlines()
            assert json.loads(rows[-1])["judgement"] == saved["judgement"], "it is not in the raw log"
            return str(saved["judgement"])


def measure(program: Sequence[str], folder: Path) -> dict[str, float]:
    """Seconds of the start, of becoming the owner, and of the first label."""
    with running(Heedful, folder, program, "--demo") as (side, start):
        own, _ = timed(side.own)
        label, _ = timed(lambda: first_label(side))
    return {"start": start, "own": own, "label": label}


def main() -> None:
    options = parse()
    busy, seconds, cpu = disturbance(), {}, 0.0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        program = [sys.executable, "-m", "heedful"]
        if not options.installed:
            clone = str(Path(name) / "heedful")
            seconds["clone"], _ = timed(lambda: shell("git", "clone", "--quiet", options.source, clone))
            setup = ("make", "--directory", clone, "setup", f"PYTHON={options.python}")
            seconds["set_up"], _ = timed(lambda: shell(*setup))
            cpu = processor()
            program = [f"{clone}/.venv/bin/heedful"]
        after = measure(program, Path(name) / "studio")
    found: dict[str, Any] = {
        "cores_busy_by_others": busy,
        "seconds": {phase: round(value, 2) for phase, value in (seconds | after).items()},
        "installed": round(sum(after.values()), 1),
    }
    if seconds:
        found["from_nothing"] = round(sum(seconds.values()) + sum(after.values()), 1)
        found["processor_seconds_of_the_set_up"] = round(cpu, 1)
    print(json.dumps(found, indent=1))
    if late := [what for what, most in WITHIN.items() if found.get(what, 0.0) >= most]:
        raise SystemExit(f"slower than aimed for: {', '.join(late)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", action="store_true", help="start what is here, without clone and setup")
    parser.add_argument("--source", default=str(ROOT), help="what is cloned: a folder or a URL")
    parser.add_argument("--python", default="python3", help="the Python that the setup begins with")
    parser.add_argument("--folder", type=Path, help="where the clone is put")
    return parser.parse_args()


if __name__ == "__main__":
    main()
