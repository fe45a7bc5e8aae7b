"""What raters write when they skip or report an item reaches whoever reviews the project, who settles it."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import select, update
from tests.feedback.conftest import PREFER_FIRST, plain, say
from tests.studio.conftest import Place
from tests.studio.test_appeals import EXPECTED, held

from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import change_project, progress, rater_named
from heedful.feedback.queue import hold, lease, put_aside
from heedful.feedback.tables import assignment, item


def report(client: Any, task: Any, text: str, kind: str = "report") -> None:
    assert client.post(f"/api/assignments/{task['assignment']}/{kind}", json={"text": text}).status_code == 200


def gold(place: Place, project: Any) -> tuple[int, int]:
    rows = place.client("owner").get(f"/api/projects/{project.id}/figures").json()["raters"]
    return sum(one["gold_right"] for one in rows), sum(one["gold"] for one in rows)


def test_a_report_and_a_note_on_a_skip_reach_the_reviewer_and_are_put_away(place: Place) -> None:
    rater, reviewer = place.client("rater"), place.client("reviewer")
    path = f"/api/projects/{place.project.id}"
    first, second = rater.post(f"{path}/desk").json()["tasks"]
    report(rater, first, "A is cut off")
    report(rater, second, "too long for me", "skip")
    report(rater, rater.post(f"{path}/desk").json()["tasks"][0], "", "skip")  # nothing was said
    found = reviewer.get(f"{path}/notices").json()
    assert found["count"] == 2
    assert [(one["kind"], one["text"]) for one in found["waiting"]] == [
        ("reported", "A is cut off"), ("skipped", "too long for me"),
    ]  # fmt: skip
    one = found["waiting"][0]
    assert one["answers"] == first["answers"] and one["prompt"] == first["prompt"]  # as its rater saw them
    assert one["rater"].startswith("rater-") and "name" not in one
    done = reviewer.post(f"{path}/notices/{one['id']}", json={"outcome": "settled"})
    assert done.status_code == 200 and reviewer.get(f"{path}/notices").json()["count"] == 1
    assert reviewer.post(f"{path}/notices/{one['id']}", json={"outcome": "settled"}).status_code == 200  # sent twice
    assert reviewer.post(f"{path}/notices/{one['id']}", json={"outcome": "out"}).status_code == 400
    with place.store.read() as connection:
        assert connection.execute(select(item.c.open).where(item.c.id == one["item"])).scalar_one()
    events = place.client("owner").get("/api/events").json()["events"]
    [event] = [event for event in events if event["action"] == "notice settled"]
    assert event["subject"] == f"item {one['item']}"
    assert event["detail"] == {"outcome": "settled", "notice": one["id"]}  # and not what the rater wrote


def test_an_item_that_is_taken_out_is_asked_no_more_and_keeps_what_was_said(place: Place) -> None:
    """Not when a lease on it runs out, nor where raters disagree, nor by a machine; and the project is complete."""
    project = place.add_project("one", PRESETS["pair"].sheet, items=1)
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(overlap=3, overlap_most=5))
        connection.execute(update(item).where(item.c.project_id == project.id).values(target=3))
    rater, owner, path = place.client("rater"), place.client("owner"), f"/api/projects/{project.id}"
    report(rater, held(rater, project), "not in any language")
    with place.store.write() as connection:
        slow, other = (rater_named(connection, "human", name) for name in ("slow", "other"))
        waits, mine = (lease(connection, project, who, time.time(), 1)[0] for who in (slow, other))
        say(connection, project, mine, other)
    [one] = owner.get(f"{path}/notices").json()["waiting"]
    assert owner.post(f"{path}/notices/{one['id']}", json={"outcome": "out"}).status_code == 200
    with place.store.write() as connection:
        say(connection, project, waits, slow, PREFER_FIRST | {"verdict": "tie"})  # held before: it is kept
        assert lease(connection, project, rater_named(connection, "human", "new"), time.time() + 1e6) == []
        row = connection.execute(select(item).where(item.c.project_id == project.id)).one()
        assert (row.open, row.done, row.dispute) == (False, 2, "out")
        assert progress(connection, project.id).complete == 1
    assert owner.get(f"{path}/machine-items?judge=j").json() == []
    assert owner.get(f"{path}/disputes").json()["task"] is None
    raw = [json.loads(line) for line in owner.get(f"{path}/export?kind=raw").text.splitlines()]
    assert [one.get("state") for one in raw] == [None, None, "reported"]  # two judgements, and the report


def test_a_lease_on_an_item_that_was_taken_out_brings_it_back_to_nobody(place: Place) -> None:
    project = place.add_project("one", PRESETS["pair"].sheet, items=1)
    with place.store.write() as connection:
        connection.execute(update(item).where(item.c.project_id == project.id).values(target=2))
    rater, owner = place.client("rater"), place.client("owner")
    report(rater, held(rater, project), "spam")
    with place.store.write() as connection:
        lease(connection, project, rater_named(connection, "human", "slow"), time.time(), 1)
    [one] = owner.get(f"/api/projects/{project.id}/notices").json()["waiting"]
    owner.post(f"/api/projects/{project.id}/notices/{one['id']}", json={"outcome": "out"})
    with place.store.write() as connection:
        connection.execute(update(assignment).where(assignment.c.state == "leased").values(expires_at=1.0))
        assert lease(connection, project, rater_named(connection, "human", "new"), time.time()) == []


def test_a_check_that_is_taken_out_counts_for_nobody(place: Place) -> None:
    project = place.add_project("checks", PRESETS["pair"].sheet, items=1, part="gold", expected=EXPECTED)
    with place.store.write() as connection:
        check = connection.execute(select(item.c.id).where(item.c.project_id == project.id)).scalar_one()
        answers, doubts = (rater_named(connection, "human", name) for name in ("answers", "doubts"))
        first, second = (hold(connection, project, check, 2, who, "gold", None, 0.0, 9.0) for who in (answers, doubts))
        say(connection, project, first, answers)
        put_aside(connection, second, doubts, "reported", "who knows", 1.0)
    assert gold(place, project)[1] == 1
    client, path = place.client("owner"), f"/api/projects/{project.id}"
    [one] = client.get(f"{path}/notices").json()["waiting"]
    assert one["part"] == "gold" and "expected" not in one
    assert client.post(f"{path}/notices/{one['id']}", json={"outcome": "out"}).status_code == 200
    assert gold(place, project) == (0, 0)
    with place.store.read() as connection:
        assert not connection.execute(select(item.c.open).where(item.c.id == check)).scalar_one()


def test_a_notice_is_its_own_projects(place: Place) -> None:
    rater, other = place.client("rater"), place.add_project("other", PRESETS["pair"].sheet)
    report(rater, held(rater, place.project), "x")
    [one] = place.client("owner").get(f"/api/projects/{place.project.id}/notices").json()["waiting"]
    elsewhere = f"/api/projects/{other.id}/notices/{one['id']}"
    assert place.client("owner").post(elsewhere, json={"outcome": "out"}).status_code == 400
    assert rater.post(elsewhere, json={"outcome": "out"}).status_code == 403
