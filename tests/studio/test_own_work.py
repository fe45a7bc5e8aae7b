"""What raters read of their own work: theirs alone, fairly counted, and nothing that tells a hidden check."""

from __future__ import annotations

import uuid
from typing import Any

from tests.feedback.conftest import new_item, plain
from tests.studio.conftest import Place
from tests.studio.test_appeals import EXPECTED, answer, checks

from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import change_project


def work(place: Place, role: str = "rater") -> dict[str, Any]:
    return {one["name"]: one for one in place.client(role).get("/api/me/work").json()}


def test_a_rater_reads_what_they_did_and_nobody_elses(place: Place) -> None:
    client, path = place.client("rater"), f"/api/projects/{place.project.id}"
    seconds = [4.0, 10.0, 6.0]
    for number, each in enumerate([*seconds, 90.0]):
        task = client.post(f"{path}/desk").json()["tasks"][0]["assignment"]
        for spent in [each, 2.0][: 1 + (number == 1)]:  # the second one is changed, in two seconds more
            value = {"verdict": "prefer", "preferred": 0, "strength": int(spent == each) + 1}
            body = {"client_uuid": str(uuid.uuid4()), "value": value, "seconds": spent}
            assert client.post(f"/api/assignments/{task}/judgements", json=body).status_code == 200
    client.post(f"/api/assignments/{task}/appeal", json={"text": "odd"})
    for kind, text in (("skip", ""), ("report", "rude")):
        task = client.post(f"{path}/desk").json()["tasks"][0]["assignment"]
        assert client.post(f"/api/assignments/{task}/{kind}", json={"text": text}).status_code == 200
    assert work(place) == {
        "p": {
            "project": place.project.id, "name": "p", "items": 4, "week": 4, "seconds": 112.0, "median": 9.0,
            "changed": 1, "skipped": 1, "reported": 1, "training": 0, "training_right": 0,
            "appeals": [{"id": 1, "text": "odd", "outcome": "", "answer": ""}],
        }
    }  # fmt: skip
    assert work(place, "reviewer") == {}


def test_training_is_told_by_the_first_answer(place: Place) -> None:
    project = checks(place, "training", 2)
    client, path = place.client("rater"), f"/api/projects/{project.id}"
    first = client.post(f"{path}/desk").json()["tasks"][0]
    answer(client, first, right=False)
    answer(client, first, right=True)
    answer(client, client.post(f"{path}/desk").json()["tasks"][0], right=True)
    told = work(place)["checks"]
    assert (told["training"], told["training_right"]) == (2, 1)


def test_nothing_tells_a_hidden_check(place: Place) -> None:
    """Answered rightly or wrongly, a check or any other item: what is read changes alike."""
    project = place.add_project("checks", PRESETS["pair"].sheet, items=6)
    made = [new_item(50 + i, part="gold", expected=EXPECTED) for i in range(3)]
    import_items(place.store, project, made, Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(gold=0.5))
    client, changes, before, hidden = place.client("rater"), [], {"items": 0, "week": 0}, 0
    while tasks := client.post(f"/api/projects/{project.id}/desk").json()["tasks"]:
        hidden += int(tasks[0]["prompt"][0]["text"].split()[-1]) >= 50
        answer(client, tasks[0], right=bool(hidden % 2))
        after = {key: value for key, value in work(place)["checks"].items() if value and key not in ("project", "name")}
        changes.append({key: after[key] - before[key] for key in after})
        before = after
    assert hidden >= 2 and changes == [{"items": 1, "week": 1}] * len(changes)
