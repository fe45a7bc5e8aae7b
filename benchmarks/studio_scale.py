"""The studio at 100,000 items and 1,000,000 judgements: how long the next item, a submission and the dashboard take.

    python benchmarks/studio_scale.py [ITEMS] [RATERS]

Every rater has judged every item but the last few, which are then done over the API. The ratio is
the p95 of the next item at this size to that of an empty project.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from heedful.feedback.accounts import begin_session, create_account
from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, QueuePolicy, create_project, rater_for, read_project
from heedful.feedback.store import Store, open_store
from heedful.records import Message, Prompt
from heedful.studio.app import create_app
from heedful.studio.settings import Settings

ASKED = 100
SECRET = "a plain pass phrase"
VALUE = {"verdict": "prefer", "preferred": 0, "strength": 2}


def project(store: Store, name: str, items: int, raters: int) -> Project:
    queue = QueuePolicy(overlap=raters, overlap_most=raters, shared=0, gold=0)
    with store.write() as connection:
        of = read_project(connection, create_project(connection, name, PRESETS["pair"].sheet, queue))
    rows = (
        NewItem(
            prompt=Prompt(id=str(i), messages=(Message("user", f"{name}: question {i}? " * 5),)),
            answers=(f"one {i} " * 40, f"two {i} " * 40),
            sources=("a", "b"),
        )
        for i in range(items)
    )
    import_items(store, of, rows, Imported())
    return of


def judged(store: Store, of: Project, raters: list[int], left: int) -> int:
    """Judgements of all raters on all items but the last in the line, written as the queue would have left them."""
    with store.write() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id, place FROM item WHERE project_id = ? ORDER BY place, id", (of.id,)
        ).all()[:-left]
        value = json.dumps(VALUE)
        for slot, rater in enumerate(raters):
            base = 1 + connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM assignment").scalar_one()
            connection.exec_driver_sql(
                "INSERT INTO assignment (id, project_id, item_id, rater_id, slot, part, shown, state, late, leased_at,"
                " expires_at, closed_at, judgement_id, choice, verdict, agrees)"
                " VALUES (?, ?, ?, ?, ?, 'main', '[0, 1]', 'done', 0, 1, 1, 1, ?, ?, 'prefer', -1)",
                [(base + i, of.id, row.id, rater, slot, base + i, i % 2) for i, row in enumerate(rows)],
            )
            connection.exec_driver_sql(
                "INSERT INTO judgement (id, assignment_id, revision, client_uuid, digest, value, seconds, created_at)"
                " VALUES (?, ?, 1, ?, '', ?, 9, 1)",
                [(base + i, base + i, str(uuid.uuid4()), value) for i in range(len(rows))],
            )
            last = rows[-1]
            connection.exec_driver_sql(
                "INSERT INTO seat (project_id, rater_id, part, place, item_id, drawn) VALUES (?, ?, 'main', ?, ?, ?)",
                (of.id, rater, last.place, last.id, len(rows)),
            )
        connection.exec_driver_sql(
            "UPDATE item SET taken = ?, done = ?, open = 0 WHERE project_id = ? AND (place, id) <= (?, ?)",
            (len(raters), len(raters), of.id, rows[-1].place, rows[-1].id),
        )
    return len(rows) * len(raters)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = act()
    return 1000 * (time.perf_counter() - start), found


def work(client: TestClient, of: Project) -> tuple[list[float], list[float]]:
    nexts, submits = [], []
    for _ in range(ASKED):
        took, desk = timed(lambda: client.post(f"/api/projects/{of.id}/desk").json())
        nexts.append(took)
        path = f"/api/assignments/{desk['tasks'][0]['assignment']}/judgements"
        body = {"client_uuid": str(uuid.uuid4()), "value": VALUE}
        took, answer = timed(lambda path=path, body=body: client.post(path, json=body))
        assert answer.status_code == 200, answer.text
        submits.append(took)
    return nexts, submits


def p95(times: list[float]) -> float:
    return sorted(times)[int(0.95 * len(times))]


def main(items: int, raters: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=str(Path(folder) / "studio.db"))
        store = open_store(settings.database)
        with store.write() as connection:
            people = [create_account(connection, f"r{i}", "r", "owner", SECRET, 1.0) for i in range(raters)]
            ids = [rater_for(connection, one) for one in people]
            cookie = begin_session(connection, people[0], time.time())
        app, headers = create_app(settings, store), {"sec-fetch-site": "same-origin"}
        client = TestClient(app, base_url=settings.url, headers=headers)
        client.cookies.set("heedful_session", cookie)
        small = project(store, "small", 2 * ASKED, raters)
        took, large = timed(lambda: project(store, "large", items, raters))
        print(f"import of {items:,} items: {took / 1000:.1f} s")
        count = judged(store, large, ids, 2 * ASKED)
        before, _ = work(client, small)
        nexts, submits = work(client, large)
        figures, _ = timed(lambda: client.get(f"/api/projects/{large.id}/figures"))
        print(f"{items:,} items, {count:,} judgements, {Path(settings.database).stat().st_size / 1e6:.0f} MB")
        for name, times in (("next", nexts), ("submit", submits)):
            print(f"{name}: p50 {statistics.median(times):.1f} ms, p95 {p95(times):.1f} ms")
        print(f"dashboard: {figures:.0f} ms")
        print(f"ratio of the next item's p95 to that of an empty project: {p95(nexts) / p95(before):.2f}")
        store.close()


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    main(*(given or [100_000, 10]))
