"""A rater says that a check is wrong: it counts no more until somebody has looked at it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from tests.feedback.conftest import new_item, plain
from tests.studio.conftest import Place

from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, change_project
from heedful.feedback.sheet import Answered

EXPECTED = Answered(verdict="prefer", preferred=0, strength=1)


def checks(place: Place, part: str, count: int = 1) -> Project:
    """A project whose items are checks alone."""
    project = place.add_project("checks", PRESETS["pair"].sheet, items=0)
    made = [new_item(i, part=part, expected=EXPECTED, explanation="it is true") for i in range(count)]
    import_items(place.store, project, made, Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(training=9, gold=0.5))
    return project


def answer(client: Any, task: Any, right: bool) -> Any:
    texts = [one["text"] for one in task["answers"]]
    place = texts.index(min(texts))  # the first stored answer is the expected one
    value = {"verdict": "prefer", "preferred": place if right else 1 - place, "strength": 1}
    body = {"client_uuid": str(uuid.uuid4()), "value": value}
    return client.post(f"/api/assignments/{task['assignment']}/judgements", json=body).json()


def gold(place: Place, project: Project) -> tuple[int, int]:
    [one] = place.client("owner").get(f"/api/projects/{project.id}/figures").json()["raters"]
    return one["gold_right"], one["gold"]


def held(client: Any, project: Project) -> Any:
    for _ in range(200):  # hidden checks come by a draw
        if tasks := client.post(f"/api/projects/{project.id}/desk").json()["tasks"]:
            return tasks[0]
    raise AssertionError("no item came")


@pytest.mark.parametrize("outcome", ["stands", "wrong"])
def test_a_hidden_check_counts_no_more_until_it_is_settled(place: Place, outcome: str) -> None:
    project = place.add_project("checks", PRESETS["pair"].sheet, items=12)  # so many that a check is drawn
    import_items(place.store, project, [new_item(50, part="gold", expected=EXPECTED)], Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(gold=0.5))
    client, owner, path = place.client("rater"), place.client("owner"), f"/api/projects/{project.id}"
    tasks = []
    while found := client.post(f"{path}/desk").json()["tasks"]:
        tasks.append(found[0])
        if len(tasks) == 1:
            early = client.post(f"/api/assignments/{found[0]['assignment']}/appeal", json={"text": "odd"})
            assert early.status_code == 400 and "answer the item first" in early.json()["error"]
        answer(client, found[0], right=False)
    assert gold(place, project) == (0, 1)
    answers = [client.post(f"/api/assignments/{t['assignment']}/appeal", json={"text": "odd"}) for t in tasks]
    assert {(one.status_code, one.text) for one in answers} == {(200, '{"done":true}')}  # a check looks like any item
    assert gold(place, project) == (0, 0)
    check = next(task for task in tasks if "50" in task["prompt"][0]["text"])
    answer(client, check, right=False)  # changed, and still under appeal
    assert gold(place, project) == (0, 0)
    waiting = owner.get(f"{path}/appeals").json()["waiting"]
    assert len(waiting) == 13 and sum(one["part"] == "gold" for one in waiting) == 1
    one = next(one for one in waiting if one["part"] == "gold")
    assert (
        one["answers"] == check["answers"] and one["text"] == "odd"
    )  # as the rater saw them, who may speak of "the first"
    texts = [each["text"] for each in one["answers"]]
    right = texts.index(min(texts))
    assert one["expected"].get("preferred", 0) == right and one["said"].get("preferred", 0) == 1 - right
    assert client.get(f"{path}/appeals").status_code == 403
    settle = f"{path}/appeals/{one['id']}"
    assert owner.post(settle, json={"outcome": outcome, "answer": "thank you"}).status_code == 200
    assert owner.post(settle, json={"outcome": "wrong" if outcome == "stands" else "stands"}).status_code == 400
    assert gold(place, project) == ((0, 1) if outcome == "stands" else (0, 0))
    answer(client, check, right=True)
    assert gold(place, project) == ((1, 1) if outcome == "stands" else (0, 0))
    mine = {row["id"]: row for row in client.get(f"{path}/my-appeals").json()}
    assert mine[one["id"]] == {"id": one["id"], "text": "odd", "outcome": outcome, "answer": "thank you"}
    assert len(owner.get(f"{path}/appeals").json()["waiting"]) == 12
    assert owner.get("/api/events").json()["events"][0]["action"] == "appeal settled"


def test_a_wrong_training_item_is_taken_out_for_everybody(place: Place) -> None:
    project = checks(place, "training", 2)
    client, owner = place.client("rater"), place.client("owner")
    task = held(client, project)
    assert answer(client, task, right=False)["feedback"]["agrees"] is False
    client.post(f"/api/assignments/{task['assignment']}/appeal", json={"text": "the other is true"})
    [one] = owner.get(f"/api/projects/{project.id}/appeals").json()["waiting"]
    owner.post(f"/api/projects/{project.id}/appeals/{one['id']}", json={"outcome": "wrong"})
    assert answer(client, task, right=True)["feedback"] == {}  # nothing to compare it with any more
    other = held(owner, project)
    assert other["prompt"][0]["text"] != task["prompt"][0]["text"]
    answer(owner, other, right=True)
    assert owner.post(f"/api/projects/{project.id}/desk").json()["tasks"] == []


def test_an_appeal_holds_nobody_back_from_real_items(place: Place) -> None:
    """For a training item that is appealed against another one comes, until it is settled as right."""
    project = place.add_project("way", PRESETS["pair"].sheet, items=2)
    made = [new_item(i, part="training", expected=EXPECTED) for i in range(50, 53)]
    import_items(place.store, project, made, Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(training=3, qualify=1.0))
    client, owner, path = place.client("rater"), place.client("owner"), f"/api/projects/{project.id}"
    for number in range(4):
        task = held(client, project)
        assert task["training"] is True
        answer(client, task, right=number > 0)
        if number == 0:
            client.post(f"/api/assignments/{task['assignment']}/appeal", json={"text": "the other is true"})
            answer(client, task, right=True)  # what is changed afterwards counts neither way
    assert held(client, project)["training"] is False
    [one] = owner.get(f"{path}/appeals").json()["waiting"]
    owner.post(f"{path}/appeals/{one['id']}", json={"outcome": "stands"})
    [figures] = owner.get(f"{path}/figures").json()["raters"]
    assert (figures["training_right"], figures["training"]) == (3, 4)  # by what was said first


def test_an_appeal_is_its_own_raters_and_its_own_projects(place: Place) -> None:
    project = checks(place, "training")
    client, owner = place.client("rater"), place.client("owner")
    task = held(client, project)
    answer(client, task, right=False)
    assert owner.post(f"/api/assignments/{task['assignment']}/appeal", json={"text": "x"}).status_code == 400
    for _ in range(2):  # sent twice, it is one
        client.post(f"/api/assignments/{task['assignment']}/appeal", json={"text": "x"})
    [one] = owner.get(f"/api/projects/{project.id}/appeals").json()["waiting"]
    elsewhere = f"/api/projects/{place.project.id}/appeals/{one['id']}"
    assert owner.post(elsewhere, json={"outcome": "stands"}).status_code == 400
    assert client.post(elsewhere, json={"outcome": "stands"}).status_code == 403


def test_nobody_settles_an_appeal_of_their_own_but_an_owner(place: Place) -> None:
    project = checks(place, "training", 2)
    for name, status in (("manager", 400), ("owner", 200)):
        client = place.client(name)
        task = held(client, project)
        answer(client, task, right=False)
        client.post(f"/api/assignments/{task['assignment']}/appeal", json={"text": name})
        waiting = client.get(f"/api/projects/{project.id}/appeals").json()["waiting"]
        own = next(one["id"] for one in waiting if one["text"] == name)
        got = client.post(f"/api/projects/{project.id}/appeals/{own}", json={"outcome": "stands"})
        assert got.status_code == status
        if status == 400:
            assert "your own" in got.json()["error"]
