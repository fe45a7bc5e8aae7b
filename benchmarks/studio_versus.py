"""heedful's studio beside Label Studio: one machine, the same tasks, the same crowd, one run.

    make bench-studio        or: python -m benchmarks.studio_versus --label-studio .label-studio-venv/bin/label-studio

Each side begins in an empty folder and is measured alone: seconds to its first answer, memory, import, then a crowd of
raters who take an item and answer it as fast as they are served. Label Studio is also measured without its "next"
(a crowd that only submits), which is its best case. What was acknowledged is then counted in what it exports.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from benchmarks.studio_load import Line, Load, Refused, crowd

HERE = Path(__file__).parent
PASSWORD = "a plain pass phrase"
HERE_OWN = (sys.executable, "-m", "heedful")  # what this interpreter has
PATIENCE = 900.0  # seconds for a start, however busy the machine is


def task(number: int) -> dict[str, str]:
    """Some 800 bytes, as answers of a small model have."""
    return {
        "prompt": f"Question {number}: how would one explain this to a friend who has never heard of it?",
        "response_a": f"First answer to {number}. " + "One begins with what the friend knows already. " * 7,
        "response_b": f"Other answer to {number}. " + "It is a long story and nobody knows it whole. " * 7,
    }


class Side(Protocol):
    """A tool under test, started in a folder of its own."""

    name: str
    process: subprocess.Popen[str]

    def own(self) -> None:
        """Become its owner."""

    def project(self, tasks: Sequence[dict[str, str]]) -> tuple[int, float]:
        """A project with these tasks, one answer wanted for each: its number, and the seconds that the import took."""

    def rater(self, number: int, project: int) -> Any:
        """A new account at the project."""

    def stored(self, project: int) -> list[str]:
        """The markers of all answers that it exports."""


# ── heedful ─────────────────────────────────────────────────────────────────────────────────────────────────────────
class Heedful:
    name = "heedful"

    def __init__(self, folder: Path, port: int, program: Sequence[str] = HERE_OWN, *options: str) -> None:
        command = [*program, "studio", "--database", str(folder / "studio.db"), "--port", str(port), *options]
        self.port, self.log = port, folder / "log"
        self.process = _start(command, self.log, folder)
        self.page = "/api/health"
        self.line = Line(port, {"Sec-Fetch-Site": "same-origin"})

    def own(self) -> None:
        found = re.search(r"/join/(\S+)", self.log.read_text())
        assert found, "the studio printed no link"
        self.line("POST", f"/api/links/{found[1]}", {"login": "owner", "name": "owner", "password": PASSWORD})

    def project(self, tasks: Sequence[dict[str, str]]) -> tuple[int, float]:
        queue = {"overlap": 1, "overlap_most": 1, "shared": 0, "gold": 0}
        made = self.line("POST", "/api/projects", {"name": f"p{len(tasks)}", "preset": "pair", "queue": queue})["id"]
        body = "".join(json.dumps(one) + "\n" for one in tasks).encode()
        start = time.perf_counter()
        self.line("POST", f"/api/projects/{made}/import?name=tasks.jsonl", body)
        return made, time.perf_counter() - start

    def rater(self, number: int, project: int) -> HeedfulRater:
        link = self.line("POST", "/api/invitations", {"role": "rater", "projects": [project]})["link"]
        line = Line(self.port, {"Sec-Fetch-Site": "same-origin"})
        who = {"login": f"rater{number}", "name": f"rater {number}", "password": PASSWORD}
        line("POST", f"/api/links/{link.rsplit('/', 1)[1]}", who)
        return HeedfulRater(line, project)

    def stored(self, project: int) -> list[str]:
        rows = self.line("GET", f"/api/projects/{project}/export?kind=raw").splitlines()
        return [json.loads(row)["value"]["reason"] for row in rows]


class HeedfulRater:
    def __init__(self, line: Line, project: int) -> None:
        self.line, self.project, self.assignment = line, project, 0

    def next(self) -> int:
        tasks = self.line("POST", f"/api/projects/{self.project}/desk")["tasks"]
        if not tasks:
            return 0
        self.assignment = tasks[0]["assignment"]
        return 1 + int(tasks[0]["prompt"][0]["text"].split()[1].rstrip(":"))

    def submit(self, item: int, marker: str) -> None:
        value = {"verdict": "prefer", "preferred": item % 2, "strength": 1, "reason": marker}
        self.line("POST", f"/api/assignments/{self.assignment}/judgements", {"client_uuid": marker, "value": value})


# ── Label Studio ────────────────────────────────────────────────────────────────────────────────────────────────────
CONFIG = (
    '<View><Text name="prompt" value="$prompt"/><Pairwise name="choice" toName="a,b"/>'
    '<Text name="a" value="$response_a"/><Text name="b" value="$response_b"/></View>'
)
QUIET = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}


class LabelStudio:
    name = "Label Studio"

    def __init__(self, folder: Path, port: int, program: Path) -> None:
        command = [str(program), "start", "--no-browser", "--port", str(port), "--data-dir", str(folder)]
        self.port, self.log, self.page = port, folder / "log", "/health/"
        self.process = _start(command, self.log, folder, QUIET)
        self.line = Line(port)

    def own(self) -> None:
        self.line = self._sign_up("owner@example.org")

    def _sign_up(self, email: str) -> Line:
        line = Line(self.port)
        line("GET", "/user/signup/")
        token = line.cookies["csrftoken"]
        body = f"csrfmiddlewaretoken={token}&email={email.replace('@', '%40')}&password=a-plain-pass-phrase"
        line("POST", "/user/signup/", body, **{"Content-Type": "application/x-www-form-urlencoded"})
        line.headers["X-CSRFToken"] = line.cookies["csrftoken"]
        return line

    def project(self, tasks: Sequence[dict[str, str]]) -> tuple[int, float]:
        made = self.line("POST", "/api/projects/", {"title": f"p{len(tasks)}", "label_config": CONFIG})["id"]
        body = json.dumps([{"data": one} for one in tasks])
        start = time.perf_counter()
        self.line("POST", f"/api/projects/{made}/import", body)
        return made, time.perf_counter() - start

    def rater(self, number: int, project: int) -> LabelStudioRater:
        return LabelStudioRater(self._sign_up(f"rater{number}@example.org"), project)

    def only_submits(self, raters: int, tasks: Sequence[dict[str, str]]) -> tuple[int, list[LabelStudioSubmitter]]:
        """Raters of one account who each have tasks of their own, and so need no next one; and their project."""
        made = self.line("POST", "/api/projects/", {"title": "submits", "label_config": CONFIG})["id"]
        body = json.dumps([{"data": one} for one in tasks])
        numbers = self.line("POST", f"/api/projects/{made}/import?return_task_ids=true", body)["task_ids"]
        return made, [LabelStudioSubmitter(self._again(), numbers[place::raters]) for place in range(raters)]

    def _again(self) -> Line:
        line = Line(self.port, self.line.headers)
        line.cookies = dict(self.line.cookies)
        return line

    def stored(self, project: int) -> list[str]:
        rows = self.line("GET", f"/api/projects/{project}/export?exportType=JSON")
        return [one["result"][0]["id"] for row in rows for one in row["annotations"]]


class LabelStudioRater:
    def __init__(self, line: Line, project: int) -> None:
        self.line, self.project = line, project

    def next(self) -> int:
        """What its own page calls."""
        found = self.line("POST", f"/api/dm/actions?id=next_task&project={self.project}", {"project": self.project})
        return int(found.get("id") or 0)

    def submit(self, item: int, marker: str) -> None:
        one = {"id": marker, "from_name": "choice", "to_name": "a,b", "type": "pairwise", "value": {"selected": "left"}}
        body = {"result": [one], "lead_time": 1.0, "project": self.project}
        self.line("POST", f"/api/tasks/{item}/annotations/?project={self.project}", body)


class LabelStudioSubmitter(LabelStudioRater):
    def __init__(self, line: Line, items: list[int]) -> None:
        super().__init__(line, 0)
        self.items = items

    def next(self) -> int:
        return self.items.pop() if self.items else 0

    def submit(self, item: int, marker: str) -> None:
        one = {"id": marker, "from_name": "choice", "to_name": "a,b", "type": "pairwise", "value": {"selected": "left"}}
        self.line("POST", f"/api/tasks/{item}/annotations/", {"result": [one], "lead_time": 1.0})


# ── both ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _start(command: list[str], log: Path, folder: Path, more: dict[str, str] | None = None) -> subprocess.Popen[str]:
    with log.open("w") as out:
        return subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **(more or {})}, text=True
        )


def until_it_answers(side: Any, start: float) -> float:
    line = Line(side.port)
    while time.perf_counter() < start + PATIENCE:
        try:
            line("GET", side.page)
            took = time.perf_counter() - start
            line.close()
            return took
        except Refused:
            if side.process.poll() is not None:
                raise SystemExit(f"{side.name} stopped: {side.log.read_text()[-800:]}") from None
            time.sleep(0.05)
    raise SystemExit(f"{side.name} did not answer within {PATIENCE:.0f} s")


def memory(side: Any) -> float:
    """Resident MB of the server and its children."""
    root = psutil.Process(side.process.pid)
    return sum(one.memory_info().rss for one in [root, *root.children(recursive=True)]) / 1e6


def processor(side: Any) -> float:
    """Seconds of processor time of the server and its children so far."""
    root = psutil.Process(side.process.pid)
    return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])


@contextmanager
def running(kind: Any, folder: Path, *more: Any) -> Iterator[tuple[Any, float]]:
    """The side, and how long it took to its first answer."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    side = kind(folder, free_port(), *more)
    try:
        yield side, until_it_answers(side, start)
    finally:
        side.line.close()
        side.process.terminate()
        try:
            side.process.wait(20)
        except subprocess.TimeoutExpired:
            side.process.kill()
            side.process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def measure(kind: Any, folder: Path, options: argparse.Namespace, *more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with running(kind, folder / "a", *more) as (side, cold):
        found["cold_start_s"], found["cold_start_cpu_s"] = round(cold, 2), round(processor(side), 2)
        found["memory_mb"] = round(memory(side))
        say(side, f"first answer after {cold:.1f} s, {found['memory_mb']} MB")
        side.own()
        project, took = side.project([task(number) for number in range(options.tasks)])
        found["import_s"] = {f"{options.tasks}": round(took, 2)}
        raters = [side.rater(number, project) for number in range(options.raters)]
        before = processor(side)
        load = crowd(raters, options.seconds)
        used = processor(side) - before
        found |= {"server_cores": round(used / load.seconds, 2), **checked(side, project, load)}
        found["server_ms_per_answer"] = round(1000 * used / max(1, len(load.acknowledged)), 1)
        say(side, json.dumps(found))
        if hasattr(side, "only_submits"):
            other, alone = side.only_submits(options.raters, [task(number) for number in range(options.tasks)])
            load = crowd(alone, options.seconds)
            found["submit_only"] = checked(side, other, load)
            say(side, json.dumps(found["submit_only"]))
        found["memory_after_mb"] = round(memory(side))
    with running(kind, folder / "b", *more) as (side, cold):
        found["cold_start_again_s"] = round(cold, 2)
        side.own()
        _, took = side.project([task(number) for number in range(options.many)])
        found["import_s"][f"{options.many}"] = round(took, 2)
        found["memory_after_import_mb"] = round(memory(side))
        say(side, f"import of {options.many:,}: {took:.1f} s")
    return found


def checked(side: Any, project: int, load: Load) -> dict[str, Any]:
    """What the crowd saw, and what is there of what was acknowledged."""
    stored = Counter(side.stored(project))
    return load.figures() | {
        "acknowledged_and_missing": sum(marker not in stored for marker in load.acknowledged),
        "stored_twice": sum(count - 1 for count in stored.values()),
        "first_errors": load.errors[:3],
    }


def version_of(program: Path) -> str:
    """As its environment has it installed."""
    ask = "import importlib.metadata as m; print(m.version('label-studio'))"
    done = subprocess.run([program.parent / "python", "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def say(side: Any, sentence: str) -> None:
    print(f"{side.name}: {sentence}", flush=True)


def disturbance(seconds: float = 2.0) -> float:
    """Cores that others keep busy just now."""
    return round(psutil.cpu_percent(seconds) / 100 * (psutil.cpu_count() or 1), 1)


def main() -> None:
    options = parse()
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": psutil.cpu_count(),
        "tasks": options.tasks,
        "raters": options.raters,
        "seconds": options.seconds,
        "cores_busy_by_others": [disturbance()],
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        result["heedful"] = measure(Heedful, Path(name) / "heedful", options)
        result["cores_busy_by_others"].append(disturbance())
        if options.label_studio:
            result["label_studio_version"] = version_of(options.label_studio)
            program = options.label_studio.absolute()
            result["label_studio"] = measure(LabelStudio, Path(name) / "label-studio", options, program)
            result["cores_busy_by_others"].append(disturbance())
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label-studio", type=Path, help="its program; without it heedful alone is measured")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="tasks of the large import")
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=45.0, help="that each crowd works")
    parser.add_argument("--folder", type=Path, help="where databases are put while it runs")
    parser.add_argument("--out", type=Path, default=HERE / "studio.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
