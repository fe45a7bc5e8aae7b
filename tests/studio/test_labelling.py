"""What a rater's browser gets and sends: nothing of sources, checks or others; everything back as it was."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.feedback.conftest import new_item, plain
from tests.studio.conftest import Place

from heedful.data.sources import read_rankings
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import change_project, rater_for
from heedful.feedback.sheet import Answered
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import assignment, item

PREFER = {"verdict": "prefer", "preferred": 0, "strength": 3}


def submission(value: Any = PREFER, key: str = "") -> dict[str, Any]:
    return {"client_uuid": key or str(uuid.uuid4()), "value": value, "seconds": 2.5}


def desk(client: Any, project: int) -> Any:
    answer = client.post(f"/api/projects/{project}/desk")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_nothing_that_a_rater_gets_tells_sources_checks_or_others(place: Place) -> None:
    known = Answered(verdict="prefer", preferred=0, strength=1)
    import_items(
        place.store, place.project, [new_item(i, part="gold", expected=known) for i in range(90, 93)], Imported()
    )
    other = place.client("reviewer")
    for task in desk(other, place.project.id)["tasks"]:
        body = submission(PREFER | {"reason": "a telling reason"})
        other.post(f"/api/assignments/{task['assignment']}/judgements", json=body)
    client = place.client("rater")
    seen = [client.post(f"/api/projects/{place.project.id}/desk").text]
    for task in json.loads(seen[0])["tasks"]:
        seen.append(client.get(f"/api/assignments/{task['assignment']}").text)
        seen.append(client.post(f"/api/assignments/{task['assignment']}/judgements", json=submission()).text)
    seen += [client.get(path).text for path in (f"/api/projects/{place.project.id}/mine", "/api/projects",
             f"/projects/{place.project.id}/label", "/")]  # fmt: skip
    for text in (re.sub(r'data-words="[^"]*"', "", text) for text in seen):  # what every rater is told alike
        for word in (
            "model-0",
            "model-1",
            "gold",
            "expected",
            "a telling reason",
            "chosen_by",
            "completions",
            "scores",
            '"item"',
        ):
            assert word not in text, (word, text[:300])


def test_checks_look_like_any_other_item(place: Place) -> None:
    known = Answered(verdict="prefer", preferred=0, strength=1)
    project = place.add_project("checks", PRESETS["pair"].sheet, items=1)
    import_items(place.store, project, [new_item(50, part="gold", expected=known)], Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(gold=0.5))
    tasks = desk(place.client("rater"), project.id)["tasks"]
    with place.store.read() as connection:
        parts = set(connection.execute(select(assignment.c.part)).scalars())
    if parts == {"main", "gold"}:
        ordinary, check = ({key: type(value).__name__ for key, value in task.items()} for task in tasks)
        assert ordinary == check
        assert tasks[0]["training"] is tasks[1]["training"] is False


def test_no_number_tells_a_check_from_an_item(place: Place) -> None:
    """What a rater's list of projects shows changes alike after an ordinary item and after a check."""
    project = place.add_project("checks", PRESETS["pair"].sheet, items=12)
    known = Answered(verdict="prefer", preferred=0, strength=1)
    import_items(place.store, project, [new_item(i, part="gold", expected=known) for i in range(50, 60)], Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(gold=0.5))
    client = place.client("rater")
    assert next(one for one in client.get("/api/projects").json() if one["id"] == project.id)["in_all"] == 12

    def card() -> Any:
        return next(one for one in client.get("/api/projects").json() if one["id"] == project.id)

    changes: dict[str, set[str]] = {"main": set(), "gold": set()}
    while tasks := desk(client, project.id)["tasks"]:
        before, number = card(), tasks[0]["assignment"]
        client.post(f"/api/assignments/{number}/judgements", json=submission())
        with place.store.read() as connection:
            part = connection.execute(select(assignment.c.part).where(assignment.c.id == number)).scalar_one()
        after = card()
        changes[part].add(json.dumps({key: [before[key], after[key]] for key in after if key != "mine"}))
        assert after["mine"] == before["mine"] + 1
    assert changes["main"] and changes["main"] == changes["gold"]
    [counted] = [one for one in place.client("owner").get("/api/projects").json() if one["id"] == project.id]
    assert (counted["items"], counted["complete"]) == (12, 12)


def test_judges_get_checks_too_so_that_no_missing_suggestion_tells_one(place: Place) -> None:
    known = Answered(verdict="prefer", preferred=0, strength=1)
    import_items(place.store, place.project, [new_item(50, part="gold", expected=known)], Imported())
    found = place.client("service").get(f"/api/projects/{place.project.id}/machine-items?judge=j").json()
    assert "question 50" in {one["prompt"][0]["content"] for one in found}


def test_a_probe_has_its_suggestion_in_every_round(place: Place) -> None:
    """One that comes without, where all others have one, would tell what it is."""
    project = place.add_project("again", PRESETS["pair"].sheet, items=12, members=("rater", "service"))
    import_items(place.store, project, [new_item(50, part="probe")], Imported())
    with place.store.write() as connection:
        change_project(connection, project.id, queue=plain(probe=0.5, suggestions="shown"))
    service, base = place.client("service"), f"/api/projects/{project.id}"
    asked = service.get(f"{base}/machine-items?judge=j").json()
    value = {"verdict": "prefer", "preferred": 0, "strength": 1}
    labels = [{"item": one["item"], "client_uuid": str(uuid.uuid4()), "value": value} for one in asked]
    assert service.post(f"{base}/machine-labels", json={"judge": "j", "labels": labels}).json()["saved"] == 13
    client, seen = place.client("rater"), []
    while tasks := desk(client, project.id)["tasks"]:
        [suggestion] = tasks[0]["suggestions"]
        assert tasks[0]["answers"][suggestion["preferred"]]["text"].endswith(".0")
        seen.append(tasks[0]["prompt"][0]["text"])
        client.post(f"/api/assignments/{tasks[0]['assignment']}/judgements", json=submission())
    assert seen.count("question 50") > 5
    assert service.get(f"{base}/machine-items?judge=j").json() == []  # and a judge is asked of it once
    assert place.client("owner").get(base).json()["probes"] == 1


def test_a_whole_way_through_the_api(place: Place, tmp_path: Path) -> None:
    client = place.client("rater")
    chosen = {}
    while tasks := desk(client, place.project.id)["tasks"]:
        task = tasks[0]
        number = task["assignment"]
        assert client.put(f"/api/assignments/{number}/draft", json={"value": {"reason": "so far"}}).json()["done"]
        assert client.get(f"/api/assignments/{number}").json()["filled_in"] == {"reason": "so far"}
        assert client.post(f"/api/assignments/{number}/heartbeat").json()["done"]
        chosen[task["prompt"][0]["text"]] = task["answers"][0]["text"]
        saved = client.post(f"/api/assignments/{number}/judgements", json=submission()).json()
        assert saved["revision"] == 1 and not saved["late"] and saved["feedback"] == {}
    assert len(chosen) == 6 and len(client.get(f"/api/projects/{place.project.id}/mine").json()) == 6
    path = tmp_path / "rankings.jsonl"
    path.write_text(place.client("service").get(f"/api/projects/{place.project.id}/export").text)
    for ranking in read_rankings([path]):
        assert ranking.completions[ranking.ranks.index(0)] == chosen[ranking.prompt.messages[0].content]
        assert ranking.margins == (3.0,)
    page = place.client("reviewer").get(f"/projects/{place.project.id}").text
    for format in ExportFormat:
        assert format.value in page.split('data-formats="')[1].split('"')[0].split()
        kind = {"kind": format.value}
        assert place.client("reviewer").get(f"/api/projects/{place.project.id}/export", params=kind).status_code == 200
    figures = place.client("reviewer").get(f"/api/projects/{place.project.id}/figures").json()
    side = {"n": 6, "first": 6, "share": 1.0, "p": pytest.approx(0.0412, abs=1e-3)}
    assert figures["side"] == side | {"interval": pytest.approx([0.6097, 1.0], abs=1e-3)}
    assert figures["raters"][0]["name"] == "" and figures["verdicts"] == {"prefer": 6}
    assert place.client("owner").get(f"/api/projects/{place.project.id}/figures").json()["raters"][0]["name"] == "rater"


def test_an_answer_under_way_is_kept_though_its_rater_left_the_project(place: Place) -> None:
    client = place.client("rater")
    number = desk(client, place.project.id)["tasks"][0]["assignment"]
    place.client("owner").delete(f"/api/projects/{place.project.id}/members/{place.accounts['rater']}")
    assert client.post(f"/api/projects/{place.project.id}/desk").status_code == 404
    assert client.post(f"/api/assignments/{number}/judgements", json=submission()).status_code == 200


def test_a_label_that_was_imported_under_ones_own_name_can_be_changed(place: Place) -> None:
    project = place.add_project("ranks", PRESETS["rank"].sheet, items=1, answers=3)
    with place.store.write() as connection:
        mine = rater_for(connection, place.accounts["rater"])
        number = connection.execute(select(item.c.id).where(item.c.project_id == project.id)).scalar_one()
        said = Answered(ranks=(2, 0, 1))
        add_machine_label(connection, project, number, mine, said, str(uuid.uuid4()), time.time())
    client = place.client("rater")
    [past] = client.get(f"/api/projects/{project.id}/mine").json()
    task = client.get(f"/api/assignments/{past['id']}").json()
    assert [one["text"] for one in task["answers"]] == [f"answer 0.{i}" for i in range(3)]
    assert task["filled_in"] == {"ranks": [2, 0, 1]}
    changed = client.post(f"/api/assignments/{past['id']}/judgements", json=submission({"ranks": [0, 1, 2]}))
    assert changed.status_code == 200
    raw = place.client("owner").get(f"/api/projects/{project.id}/export?kind=raw").text
    before, now = (json.loads(line) for line in raw.splitlines())
    assert before["state"] == "superseded" and before["value"] == {"ranks": [2, 0, 1]}
    assert now["shown"] == [0, 1, 2] and now["value"] == {"ranks": [0, 1, 2]}


def test_a_retry_is_answered_alike_and_another_answer_is_not(place: Place) -> None:
    client = place.client("rater")
    number = desk(client, place.project.id)["tasks"][0]["assignment"]
    body = submission()
    first, second = (client.post(f"/api/assignments/{number}/judgements", json=body) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() | {"repeated": True} == second.json()
    other = client.post(f"/api/assignments/{number}/judgements", json=body | {"value": {"verdict": "tie"}})
    assert other.status_code == 422 and "nothing was changed" in other.json()["error"]
    assert client.get(f"/api/assignments/{number}").json()["filled_in"] == PREFER


def test_skipping_and_reporting(place: Place) -> None:
    client = place.client("rater")
    first, second = (task["assignment"] for task in desk(client, place.project.id)["tasks"])
    assert client.post(f"/api/assignments/{first}/skip", json={}).status_code == 200
    assert client.post(f"/api/assignments/{second}/report", json={}).status_code == 422
    assert client.post(f"/api/assignments/{second}/report", json={"text": "broken"}).status_code == 200
    assert not {first, second} & {task["assignment"] for task in desk(client, place.project.id)["tasks"]}
    [one] = place.client("owner").get(f"/api/projects/{place.project.id}/figures").json()["raters"]
    assert (one["skipped"], one["reported"], one["done"]) == (1, 1, 0)
    late = client.post(f"/api/assignments/{first}/judgements", json=submission())  # second thoughts are welcome
    assert late.status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"client_uuid": "x", "value": {}}, "client_uuid"),
        ({"value": {}}, "client_uuid"),
        (submission({"verdict": "prefer", "preferred": 0, "strength": 9}), "strength"),
        (submission({"verdict": "prefer", "colour": 1}), "colour"),
        (submission({"verdict": "none"}), "choose one answer"),
        (submission() | {"extra": 1}, "extra"),
        (submission() | {"seconds": -1}, "seconds"),
        (submission({"verdict": "tie", "reason": "x" * 20_000}), "reason"),
    ],
)
def test_a_bad_answer_is_refused_in_a_sentence(place: Place, body: Any, said: str) -> None:
    client = place.client("rater")
    number = desk(client, place.project.id)["tasks"][0]["assignment"]
    answer = client.post(f"/api/assignments/{number}/judgements", json=body)
    assert answer.status_code in (400, 422) and said in answer.json()["error"]


def test_an_assignment_of_somebody_else_is_not_there(place: Place) -> None:
    number = desk(place.client("rater"), place.project.id)["tasks"][0]["assignment"]
    for role in ("owner", "reviewer"):
        answer = place.client(role).post(f"/api/assignments/{number}/judgements", json=submission())
        assert answer.status_code == 400 and "among yours" in answer.json()["error"]


def test_machines_read_items_and_add_labels_in_the_same_queue(place: Place) -> None:
    service = place.client("service")
    base = f"/api/projects/{place.project.id}"
    items = service.get(f"{base}/machine-items?judge=judge-1").json()
    assert len(items) == 6 and "model-0" not in json.dumps(items)
    labels = [
        {
            "item": one["item"],
            "client_uuid": str(uuid.uuid4()),
            "value": {"verdict": "prefer", "preferred": 0, "strength": 1},
        }
        for one in items
    ]
    bad = [{"item": 999, "client_uuid": str(uuid.uuid4()), "value": {"verdict": "tie"}},
           {"item": items[0]["item"], "client_uuid": str(uuid.uuid4()), "value": {"verdict": "prefer"}}]  # fmt: skip
    report = service.post(f"{base}/machine-labels", json={"judge": "judge-1", "labels": labels + bad}).json()
    assert report["saved"] == 6 and len(report["faults"]) == 2
    again = service.post(f"{base}/machine-labels", json={"judge": "judge-1", "labels": labels}).json()
    assert (again["saved"], again["there_already"]) == (0, 6)
    assert service.get(f"{base}/machine-items?judge=judge-1").json() == []
    assert len(service.get(f"{base}/machine-items?judge=judge-2").json()) == 6
    client = place.client("rater")
    assert desk(client, place.project.id)["tasks"][0]["suggestions"] == []  # hidden by default
    queue = place.client("owner").get(base).json()["queue"] | {"suggestions": "shown"}
    place.client("owner").patch(base, json={"queue": queue})
    task = desk(client, place.project.id)["tasks"][0]
    best = task["suggestions"][0]["preferred"]
    stored = next(one for one in items if one["prompt"][0]["content"] == task["prompt"][0]["text"])
    assert task["answers"][best]["text"] == stored["answers"][0]


def test_a_draw_that_is_no_answer_spoils_its_own_label_alone(place: Place) -> None:
    project = place.add_project("ranks", PRESETS["rank"].sheet, items=4, members=("service",))
    service, base = place.client("service"), f"/api/projects/{project.id}"
    whole, short, empty = {"ranks": [0, 1]}, {"ranks": [0]}, {}
    asked = service.get(f"{base}/machine-items?judge=j").json()
    labels = [
        {"item": one["item"], "client_uuid": str(uuid.uuid4()),
         "draws": [{"value": whole, "shown": [0, 1]}, {"value": second, "shown": shown}]}
        for one, second, shown in zip(
            asked, (short, empty, whole, whole), ([1, 0], [1, 0], [0, 1, 2], [1, 0]), strict=True
        )
    ]  # fmt: skip
    report = service.post(f"{base}/machine-labels", json={"judge": "j", "labels": labels}).json()
    assert report["saved"] == 1 and len(report["faults"]) == 3 and "each stored place once" in report["faults"][2]


def test_an_id_used_for_two_labels_spoils_one_of_them_alone(place: Place) -> None:
    value, one = {"verdict": "prefer", "preferred": 0, "strength": 1}, str(uuid.uuid4())
    labels = [{"item": item, "client_uuid": one, "value": value} for item in (1, 2)]
    labels.append({"item": 3, "client_uuid": str(uuid.uuid4()), "value": value})
    body = {"judge": "judge-1", "labels": labels}
    report = place.client("service").post(f"/api/projects/{place.project.id}/machine-labels", json=body).json()
    assert report["saved"] == 2 and "item 2" in report["faults"][0] and "client_uuid" in report["faults"][0]


def test_import_by_the_api_names_bad_rows(place: Place) -> None:
    rows = [{"prompt": "q", "response_a": "x", "response_b": "y"}, {"prompt": "", "response_a": "x", "response_b": "y"}]
    body = "\n".join(json.dumps(row) for row in rows).encode()
    owner = place.client("owner")
    report = owner.post(f"/api/projects/{place.project.id}/import?name=../../etc/a.jsonl", content=body).json()
    assert report["items"] == 1 and report["faults"] == [
        "a.jsonl:2: field 'prompt': found an empty text, expected a text, or messages; write the prompt"
    ]
    refused = owner.post(f"/api/projects/{place.project.id}/import?name=a.exe", content=body)
    assert refused.status_code == 422 and ".jsonl" in refused.json()["error"]


def test_a_project_is_made_and_changed(place: Place) -> None:
    owner = place.client("owner")
    made = owner.post("/api/projects", json={"name": "new", "preset": "helpsteer"}).json()["id"]
    assert owner.post("/api/projects", json={"name": "new", "preset": "hh"}).status_code == 400
    assert owner.get(f"/api/projects/{made}").json()["sheet"]["reason"] == "required"
    assert owner.patch(f"/api/projects/{made}", json={"open": False, "guidelines": "# g"}).json()["done"]
    assert owner.get(f"/api/projects/{made}").json()["guidelines"] == "# g"
    own = owner.post("/api/projects", json={"name": "own", "sheet_toml": 'compare = "rank"'}).json()["id"]
    assert owner.get(f"/api/projects/{own}").json()["sheet"]["compare"] == "rank"
    for wrong, said in (({"sheet_toml": "strenght = 2"}, "did you mean 'strength'"), ({}, "give one of"),
                        ({"preset": "pair", "sheet_toml": "edit = 1"}, "give one of")):  # fmt: skip
        answer = owner.post("/api/projects", json={"name": "wrong", **wrong})
        assert answer.status_code in (400, 422) and said in answer.json()["error"]
    bad = owner.post("/api/projects", json={"name": "bad", "sheet": {"compare": "none"}})
    assert bad.status_code == 422 and "asks nothing" in bad.json()["error"]
    events = owner.get("/api/events").json()
    assert events["broken_at"] == 0 and [one["action"] for one in events["events"]] == [
        "project made",
        "project changed",
        "project made",
    ]


def test_what_is_given_of_a_queue_is_changed_and_the_rest_stays(place: Place) -> None:
    owner, path = place.client("owner"), f"/api/projects/{place.project.id}"
    was = owner.get(path).json()["queue"]
    assert (was["gold"], was["shared"]) == (0, 0)  # neither is what a new project would have
    assert owner.patch(path, json={"queue": {"overlap_most": 7}}).status_code == 200
    assert owner.get(path).json()["queue"] == was | {"overlap_most": 7}
    assert owner.patch(path, json={"queue": {"overlap": 6}}).status_code == 200  # it fits what is there
    wrong = owner.patch(path, json={"queue": {"overlap": 9}})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "overlap_most must be at least overlap")
    assert owner.get(path).json()["queue"] == was | {"overlap_most": 7, "overlap": 6}


def test_the_log_says_what_was_and_what_is(place: Place) -> None:
    owner, path = place.client("owner"), f"/api/projects/{place.project.id}"
    change = {"queue": {"gold": 0.1, "overlap": 3}, "open": False, "guidelines": "g" * 5000, "warning": "mind it"}
    owner.patch(path, json=change)
    owner.patch(path, json=change)  # changes nothing, and is no event
    owner.patch(f"/api/accounts/{place.accounts['rater']}", json={"role": "reviewer"})
    owner.put(f"/api/accounts/{place.accounts['rater']}/skills", json={"skills": ["french"]})
    skills, role, project = (one["detail"] for one in owner.get("/api/events").json()["events"])
    assert skills == {"skills": "nothing → french"} and role == {"role": "rater → reviewer"}
    assert project == {
        "queue.gold": "0.0 → 0.1", "open": "yes → no", "guidelines": "0 letters → 5,000 letters",
        "warning": "nothing → mind it",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/export?kind=zzz", None, "'kind': 'zzz' is none of raw, rankings, demonstrations, trl, trl-implicit"),
        ("GET", "/export?raters=z", None, "'raters': 'z' is none of all, human, ai, simulated"),
        ("PATCH", "", {"queue": {"overlap": "x"}}, "'queue.overlap': expected a whole number, found 'x'"),
        ("PATCH", "", {"queue": {"overlap": 99}}, "'queue.overlap': expected at most 25, found 99"),
        ("PATCH", "", {"queue": {"golld": 1}}, "'queue.golld' is unknown here; leave it out, or mind its spelling"),
        ("PATCH", "", {"queue": {"suggestions": "x"}}, "'queue.suggestions': 'x' is none of hidden, shown"),
        ("PATCH", "", "text", "the body: expected an object of JSON"),
        ("POST", "/order", {}, "'rule' is missing; give it"),
        ("POST", "/../../projects", {"name": "", "preset": "pair"}, "'name': expected at least 1 character"),
        ("POST", "/../../projects", {"name": "a", "preset": "pair", "queue": {"overlap": 9}},
         "queue: overlap_most must be at least overlap"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_in_a_sentence(place: Place, method: str, path: str, body: Any, said: str) -> None:
    answer = place.client("owner").request(method, f"/api/projects/{place.project.id}{path}", json=body)
    assert answer.status_code == 422 and answer.json()["error"].startswith(said), answer.text


def test_no_password_is_said_back(place: Place) -> None:
    answer = place.client("owner").post("/api/me/password", json={"old": ["hunter2"], "new": {"a": "hunter2"}})
    assert answer.status_code == 422 and "hunter2" not in answer.text


def test_runs_and_their_curves(place: Place) -> None:
    stage = place.settings.runs / "demo" / "01-sft"
    stage.mkdir(parents=True)
    lines = [json.dumps({"step": i, "loss": 3.0 - i / 1000}) for i in range(2000)]
    (stage / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 2000, "lo')  # a line that is being written
    (place.settings.runs / "demo" / "report.html").write_text("<p>report</p>")
    client = place.client("reviewer")
    [run] = client.get("/api/runs").json()
    assert run["name"] == "demo" and run["report"] and run["stages"][0]["complete"] is False
    found = client.get("/api/runs/demo/stages/sft/metrics?points=100").json()
    assert found["steps"] == 2000 and len(found["curves"]["loss"]) == 100
    assert found["curves"]["loss"][-1] == [1999.0, pytest.approx(1.001)]
    report = client.get("/api/runs/demo/report")
    assert report.text == "<p>report</p>" and "sandbox" in report.headers["content-security-policy"]
