"""Live chat over a stand-in endpoint: two answers a turn, blind; what is preferred goes on; turns are exported."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.studio.conftest import Place

from heedful.errors import ResourceError
from heedful.feedback.presets import PRESETS
from heedful.feedback.tables import item
from heedful.studio import speak
from heedful.studio.routes import chat
from heedful.studio.settings import Model


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the models were asked; each answers with its name and how many messages it got."""
    calls: list[Any] = []

    def ask(model: Model, messages: Any, **_: Any) -> str:
        calls.append((model.name, messages))
        return f"{'one' if model.name == 'first' else 'two'} says {len(messages)}"

    monkeypatch.setattr("heedful.studio.routes.chat.ask", ask)
    return calls


ENDED = {"ratings": {"overall": 4}, "comment": "it was fine"}


def say(client: Any, talk: int, text: str, key: str = "") -> Any:
    return client.post(f"/api/conversations/{talk}/turns", json={"client_uuid": key or str(uuid.uuid4()), "text": text})


def again(client: Any, talk: int, key: str = "") -> Any:
    return client.post(f"/api/conversations/{talk}/again", json={"client_uuid": key or str(uuid.uuid4())})


def judge(client: Any, task: Any, key: str = "", **more: Any) -> Any:
    value = {"verdict": "prefer", "preferred": 0, "strength": 1, **more}
    body = {"client_uuid": key or str(uuid.uuid4()), "value": value}
    return client.post(f"/api/assignments/{task['assignment']}/judgements", json=body)


def prefer(client: Any, task: Any, **more: Any) -> None:
    assert judge(client, task, **more).status_code == 200


def test_what_is_preferred_goes_on_and_every_turn_is_a_ranking(place: Place, heard: list[Any]) -> None:
    project = place.add_project("talk", PRESETS["red_team"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={"goal": "try"}).json()
    key = str(uuid.uuid4())
    first = say(client, talk["id"], "hello", key).json()
    assert say(client, talk["id"], "hello", key).json()["turns"][0]["assignment"] == first["turns"][0]["assignment"]
    assert len(heard) == 2  # sent twice, asked once
    early = say(client, talk["id"], "again")
    assert early.status_code == 409 and "which of the last two" in early.json()["error"]
    turn = first["turns"][0]
    body = {"client_uuid": str(uuid.uuid4()), "value": {"verdict": "prefer", "preferred": 1, "strength": 2}}
    assert client.post(f"/api/assignments/{turn['assignment']}/judgements", json=body).status_code == 200
    liked = turn["answers"][1]["text"]
    second = say(client, talk["id"], "and then?")
    assert heard[-1][1] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": liked},
        {"role": "user", "content": "and then?"},
    ]
    for text in (json.dumps(talk), second.text):
        assert '"first"' not in text and '"second"' not in text  # the models' names
    assert client.post(f"/api/conversations/{talk['id']}/end", json={}).status_code == 422
    assert client.post(f"/api/conversations/{talk['id']}/end", json={"success": 4}).status_code == 200
    assert say(client, talk["id"], "more").status_code == 409
    raw = place.client("owner").get(f"/api/projects/{project.id}/export?kind=raw").text.splitlines()
    [row] = [json.loads(line) for line in raw]
    assert sorted(row["sources"]) == ["first", "second"] and row["part"] == "chat"
    assert row["completions"][row["value"]["preferred"]] == liked


@pytest.fixture
def new_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that never say the same twice."""
    calls: list[str] = []

    def ask(model: Model, messages: Any, **_: Any) -> str:
        calls.append(model.name)
        return f"{'one' if model.name == 'first' else 'two'} says {len(messages)}, call {len(calls)}"

    monkeypatch.setattr("heedful.studio.routes.chat.ask", ask)


def test_both_answers_are_written_anew_and_the_first_ones_kept(place: Place, new_words: None) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    assert again(client, talk).status_code == 409  # nothing was said yet
    first = say(client, talk, "hello").json()["turns"][0]
    key = str(uuid.uuid4())
    made = again(client, talk, key).json()
    assert again(client, talk, key).json()["turns"][0]["assignment"] == made["turns"][0]["assignment"]  # counts once
    assert made["said"] == ["hello"] and len(made["turns"]) == 1
    [second] = made["turns"]
    texts = [{one["text"] for one in task["answers"]} for task in (first, second)]
    assert not texts[0] & texts[1] and second["assignment"] != first["assignment"]
    other = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    say(client, other, "hello")
    assert again(client, other, key).status_code == 409  # the id of another conversation's answers
    prefer(client, second)
    refused = again(client, talk)
    assert refused.status_code == 409 and "wait for your judgement" in refused.json()["error"]
    assert len(say(client, talk, "and then?").json()["turns"]) == 2
    owner = place.client("owner")
    rows = [json.loads(line) for line in owner.get(f"/api/projects/{project.id}/export?kind=raw").text.splitlines()]
    assert [row["value"].get("verdict") for row in rows] == ["none", "prefer"]
    assert [set(row["completions"]) for row in rows] == texts
    assert [(row["meta"]["conversation"], row["meta"]["turn"]) for row in rows] == [(talk, 0), (talk, 0)]
    assert len(owner.get(f"/api/projects/{project.id}/export?kind=rankings").text.splitlines()) == 1
    counts = owner.get(f"/api/projects/{project.id}").json()
    assert (counts["items"], counts["complete"]) == (3, 1)
    prefer(client, first)  # an answer under way is kept all the same, and the conversation stays as it was
    assert len(owner.get(f"/api/projects/{project.id}/export?kind=rankings").text.splitlines()) == 2
    assert len(client.get(f"/api/conversations/{talk}").json()["turns"]) == 2


def test_a_choice_may_be_changed_until_something_is_said_after_it(place: Place, heard: list[Any]) -> None:
    """As on the page: what came later was answered in the light of it."""
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    first = say(client, talk, "hello").json()["turns"][0]
    key = str(uuid.uuid4())
    prefer(client, first, key=key)
    prefer(client, first, preferred=1)
    second = say(client, talk, "and then?").json()["turns"][1]
    refused = judge(client, first)
    assert refused.status_code == 409 and "until something is said after it" in refused.json()["error"]
    assert judge(client, first, key=key).json()["repeated"], "a retry is answered alike"
    prefer(client, second)
    assert judge(client, first).status_code == 409
    assert client.post(f"/api/conversations/{talk}/end", json=ENDED).status_code == 200
    prefer(client, second, preferred=1)  # nothing came after it
    rows = place.client("owner").get(f"/api/projects/{project.id}/export?kind=raw").text.splitlines()
    assert [json.loads(row)["revision"] for row in rows] == [1, 2, 1, 2]


def test_a_turn_put_aside_stays_so_once_the_talk_went_on(place: Place, heard: list[Any]) -> None:
    """And doesn't hold up the turn before it."""
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    first = say(client, talk, "hello").json()["turns"][0]
    prefer(client, first)
    aside = say(client, talk, "and then?").json()["turns"][1]
    assert client.post(f"/api/assignments/{aside['assignment']}/skip", json={}).status_code == 200
    prefer(client, first, preferred=1)  # what was put aside was never said
    prefer(client, say(client, talk, "something else").json()["turns"][1])
    assert judge(client, aside).status_code == 409
    assert client.get(f"/api/conversations/{talk}").json()["said"] == ["hello", "something else"]


def test_nobody_has_answers_written_anew_for_ever(place: Place, new_words: None) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    say(client, talk, "hello")
    answers = [again(client, talk) for _ in range(chat.RETAKES + 1)]
    assert [one.status_code for one in answers] == [200] * chat.RETAKES + [409]
    assert "both are bad" in answers[-1].json()["error"]
    assert again(place.client("owner"), talk).status_code == 404


def test_turns_and_the_whole_are_rated_and_unrolled(place: Place, heard: list[Any]) -> None:
    """Every turn is a row with what was said before it, and knows its conversation's ratings, not another's."""
    scale = PRESETS["criteria"].sheet.criteria[0]
    sheet = PRESETS["chat"].sheet.model_copy(update={"criteria": (scale,)})
    project = place.add_project("talk", sheet, items=0)
    client = place.client("rater")
    talks = []
    for _ in range(2):  # they begin with the very same words
        talk = client.post(f"/api/projects/{project.id}/conversations", json={"goal": "sums"}).json()["id"]
        for text in ("hello", "and then?"):
            task = say(client, talk, text).json()["turns"][-1]
            prefer(client, task, ratings=[{"helpfulness": 4}, {"helpfulness": 2}])
        talks.append(talk)
    for wrong, said in (
        ({}, "rate The conversation"),
        ({"overall": 9}, "from 1 to 5"),
        ({"x": 1, "overall": 1}, "'x'"),
    ):
        answer = client.post(f"/api/conversations/{talks[0]}/end", json={"ratings": wrong})
        assert answer.status_code == 400 and said in answer.json()["error"]
    assert client.post(f"/api/conversations/{talks[0]}/end", json=ENDED).status_code == 200
    owner, path = place.client("owner"), f"/api/projects/{project.id}/export"
    rows = [json.loads(line) for line in owner.get(f"{path}?kind=raw").text.splitlines()]
    assert [(row["meta"]["conversation"], row["meta"]["turn"]) for row in rows] == [
        (talk, turn) for talk in talks for turn in (0, 1)
    ]
    assert [row["meta"].get("conversation_ratings") for row in rows] == [{"overall": 4}] * 2 + [None] * 2
    assert rows[0]["meta"]["comment"] == "it was fine" and rows[0]["meta"]["goal"] == "sums"
    assert sorted(rows[0]["value"]["ratings"], key=str) == [{"helpfulness": 2}, {"helpfulness": 4}]
    pairs = [json.loads(line) for line in owner.get(f"{path}?kind=trl").text.splitlines()]
    assert [len(pair["prompt"]) for pair in pairs] == [1, 3, 1, 3]
    assert pairs[1]["prompt"][1]["content"] == pairs[0]["chosen"][0]["content"]


def test_the_same_words_in_two_conversations_are_two_items(place: Place, heard: list[Any]) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0, members=("rater", "reviewer"))
    for role in ("rater", "rater", "reviewer"):
        client = place.client(role)
        talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()
        assert len(say(client, talk["id"], "hello").json()["turns"]) == 1
    assert place.client("owner").get(f"/api/projects/{project.id}").json()["items"] == 3


def test_a_model_that_is_gone_is_not_named(place: Place, heard: list[Any]) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    place.app.state.studio = replace(
        place.app.state.studio,
        settings=replace(place.settings, models=(Model("third", "http://h"), place.settings.models[0])),
    )
    answer = say(client, talk, "hello")
    assert answer.status_code == 409 and "not served any more" in answer.json()["error"]
    assert not [name for name in ("first", "second", "third") if name in answer.text]


@pytest.mark.parametrize("meanwhile", ["the same", "another turn", "the end"])
def test_what_comes_while_the_models_answer(place: Place, monkeypatch: pytest.MonkeyPatch, meanwhile: str) -> None:
    """Nothing of what was checked before the models were asked is taken for granted behind it."""
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    key, calls = str(uuid.uuid4()), 0

    def ask(model: Model, messages: Any, **_: Any) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            if meanwhile == "the end":
                assert client.post(f"/api/conversations/{talk}/end", json=ENDED).status_code == 200
            else:
                assert say(client, talk, "hello", key if meanwhile == "the same" else "").status_code == 200
        return f"{model.name} {calls}"

    monkeypatch.setattr("heedful.studio.routes.chat.ask", ask)
    answer = say(client, talk, "hello", key)
    assert answer.status_code == (200 if meanwhile == "the same" else 409), answer.text
    turns = client.get(f"/api/conversations/{talk}").json()["turns"]
    assert len(turns) == (0 if meanwhile == "the end" else 1)


def test_only_a_few_wait_for_the_models(place: Place, heard: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.studio.routes.chat._waiting", threading.BoundedSemaphore(1))
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    with chat._one_of_few():
        answer = say(client, talk, "hello")
    assert answer.status_code == 429 and "try again" in answer.json()["error"]
    assert say(client, talk, "hello").status_code == 200  # given back, whatever came of it


def test_another_raters_conversation_is_not_there(place: Place, heard: list[Any]) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    talk = place.client("rater").post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    assert say(place.client("owner"), talk, "hello").status_code == 404


def test_an_endpoint_that_is_away_is_told_in_a_sentence(place: Place) -> None:
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    answer = say(client, talk, "hello")  # nothing listens on port 9
    assert answer.status_code == 503 and "nothing was lost" in answer.json()["error"]
    assert client.get(f"/api/conversations/{talk}").json()["turns"] == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, json={"x": 1}),
        httpx.Response(200, text="<p>"),
        httpx.Response(200, json={"choices": [{"message": {"content": " "}}]}),
        httpx.Response(200, json={"choices": [{"message": {"content": None}}]}),
    ],
)
def test_a_strange_answer_of_an_endpoint(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> None:
    answer.request = httpx.Request("POST", "http://h")
    monkeypatch.setattr(httpx, "post", lambda *_, **__: answer)
    with pytest.raises(ResourceError, match="endpoint|with nothing"):
        speak.ask(Model("m", "http://h"), [])


def test_a_key_is_sent_and_an_answer_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    long = "hi" * 20_000  # kept whole

    def post(url: str, **more: Any) -> httpx.Response:
        sent.update(more, url=url)
        body = {"choices": [{"message": {"content": long}}]}
        return httpx.Response(200, json=body, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.setenv("THE_KEY", "k")
    assert speak.ask(Model("m", "http://h/v1", "org/m", "THE_KEY"), [{"role": "user", "content": "x"}]) == long
    assert sent["url"] == "http://h/v1/chat/completions" and sent["headers"] == {"Authorization": "Bearer k"}
    assert sent["json"]["model"] == "org/m"


@pytest.mark.parametrize("kind", ["skip", "report"])
def test_a_turn_put_aside_was_never_said(place: Place, heard: list[Any], kind: str) -> None:
    """It costs nothing, is nobody else's, and the conversation goes on from before it."""
    project = place.add_project("talk", PRESETS["chat"].sheet, items=0)
    client = place.client("rater")
    talk = client.post(f"/api/projects/{project.id}/conversations", json={}).json()["id"]
    first = say(client, talk, "hello").json()["turns"][0]
    prefer(client, first)
    second = say(client, talk, "and then?").json()["turns"][1]
    path = f"/api/assignments/{second['assignment']}/{kind}"
    assert client.post(path, json={"text": "it is rude"}).status_code == 200
    assert client.get(f"/api/conversations/{talk}").json()["said"] == ["hello"]
    third = say(client, talk, "something else").json()
    assert third["said"] == ["hello", "something else"]
    assert [message["content"] for message in heard[-1][1]] == ["hello", first["answers"][0]["text"], "something else"]
    prefer(client, third["turns"][1])
    with place.store.read() as connection:
        query = select(item.c.open, item.c.taken).where(item.c.project_id == project.id).order_by(item.c.id)
        assert [tuple(row) for row in connection.execute(query)] == [(False, 1), (False, 0), (False, 1)]
    [mine] = place.client("owner").get(f"/api/projects/{project.id}/figures").json()["raters"]
    assert (mine["done"], mine["skipped"] + mine["reported"]) == (2, 1)
