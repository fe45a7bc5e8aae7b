"""Second looks over the API: what a reviewer sees, and that a decision is kept and logged once."""

from __future__ import annotations

import uuid
from typing import Any

from tests.studio.conftest import Place

from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project


def disagree(place: Place, project: Project, edited: str = "") -> str:
    """A person, who may edit the answer too, and a machine differ about a project's only item; returns that answer."""
    path = f"/api/projects/{project.id}"
    held = place.client("rater").post(f"{path}/desk").json()["tasks"][0]
    liked = str(held["answers"][0]["text"])
    value: dict[str, Any] = {"verdict": "prefer", "preferred": 0, "strength": 1, "reason": "because"}
    value |= {"edited": edited, "edited_from": 0} if edited else {}
    body = {"client_uuid": str(uuid.uuid4()), "value": value}
    assert place.client("rater").post(f"/api/assignments/{held['assignment']}/judgements", json=body).status_code == 200
    machine = place.client("owner")
    item = machine.get(f"{path}/machine-items?judge=j").json()[0]
    other = {"verdict": "prefer", "preferred": 1 - item["answers"].index(liked), "strength": 1}
    label = {"item": item["item"], "client_uuid": str(uuid.uuid4()), "value": other}
    assert machine.post(f"{path}/machine-labels", json={"judge": "j", "labels": [label]}).json()["saved"] == 1
    return liked


def test_a_reviewer_decides(place: Place) -> None:
    project = place.add_project("d", PRESETS["pair"].sheet, items=1, members=("rater", "reviewer"))
    first, path = disagree(place, project), f"/api/projects/{project.id}"
    reviewer = place.client("reviewer")
    assert reviewer.get(path).json()["to_decide"] == 1  # before anybody has opened the second looks
    card = next(one for one in reviewer.get("/api/projects").json() if one["id"] == project.id)
    assert card["to_decide"] == 1
    found = reviewer.get(f"{path}/disputes").json()
    assert (found["waiting"], found["decided"], found["unseen"]) == (1, 0, 0)
    task = found["task"]
    by = {one["by"]: task["answers"][one["value"].get("preferred", 0)]["text"] for one in task["said"]}
    assert by["person"] == first and by["machine"] != first
    assert task["said"][0]["value"]["reason"] == "because" and set(task["said"][0]) == {"by", "value"}

    path = f"{path}/items/{task['item']}/decision"
    value = {"verdict": "prefer", "preferred": 0, "strength": 1}
    refused = reviewer.post(path, json={"client_uuid": str(uuid.uuid4()), "value": value})
    assert refused.status_code == 400 and "reason" in refused.json()["error"]
    body = {"client_uuid": str(uuid.uuid4()), "value": value | {"reason": "it is true"}}
    assert [reviewer.post(path, json=body).status_code for _ in range(2)] == [200, 200]
    found = reviewer.get(f"/api/projects/{project.id}/disputes").json()
    assert (found["waiting"], found["decided"], found["task"]) == (0, 1, None)
    desks = [place.client(role).post(f"/api/projects/{project.id}/desk").json() for role in ("reviewer", "rater")]
    assert [(desk["done"], desk["today"]) for desk in desks] == [(0, 0), (1, 1)]  # a decision is no judgement
    rankings = reviewer.get(f"/api/projects/{project.id}/export?kind=rankings").text.splitlines()
    raw = reviewer.get(f"/api/projects/{project.id}/export?kind=raw").text.splitlines()
    assert len(rankings) == 1 and len(raw) == 3
    log = place.client("owner").get("/api/events").json()["events"]
    assert [one["action"] for one in log].count("decided") == 1
