"""The report on raters, counted by a process of its own that ends with it.

So a studio stays small although the report needs scipy, and no rater waits for it: the server's interpreter does other
things meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from threading import Lock
from typing import Any

from heedful.errors import ResourceError
from heedful.feedback.judgements import RANDOM
from heedful.feedback.labels import newest
from heedful.feedback.projects import read_project
from heedful.feedback.store import Store

REPORTED = 20_000  # judgements, the newest, that agreement is counted over
_one_at_a_time = Lock()  # each takes some 100 MB while it lasts


def agreement(store: Store, project_id: int, *, by_chance: bool = False) -> dict[str, Any]:
    """A project's report on raters; {} where nothing was said. ResourceError: the process failed.

    by_chance: of items alone whose place in the queue was drawn, which speak for the whole.
    """
    database = str(store.file) if store.sqlite else store.url.render_as_string(hide_password=False)
    asked = json.dumps({"database": database, "project": project_id, "by_chance": by_chance})
    command = [sys.executable, "-m", "heedful.feedback.counting"]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _one_at_a_time:
        done = subprocess.run(command, input=asked, capture_output=True, text=True, env={**os.environ, **one_thread})
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ResourceError(f"the figures could not be counted ({said[:200]}); nothing was changed, try again")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def count(store: Store, project_id: int, *, by_chance: bool = False) -> dict[str, Any]:
    """The same in this process."""
    from heedful.feedback.report import nothing_said, rater_report  # scipy, which the server does without

    with store.read() as connection:
        judgements = newest(connection, read_project(connection, project_id), REPORTED)
    judgements = [one for one in judgements if not by_chance or one.chosen_by == RANDOM]
    return {} if nothing_said(judgements) else rater_report(judgements).row()


def main() -> None:
    """Read from standard input what is asked, and write it to standard output."""
    asked = json.load(sys.stdin)
    json.dump(count(Store(asked["database"]), asked["project"], by_chance=asked["by_chance"]), sys.stdout)


if __name__ == "__main__":
    main()
