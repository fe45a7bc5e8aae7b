"""The client against the studio itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.studio.conftest import Place

from heedful.errors import InputError, ResourceError
from heedful.feedback.accounts import create_token
from heedful.feedback.figures import figures
from heedful.feedback.labels import read_labels
from heedful.feedback.report import rater_report
from heedful.studio.client import StudioClient


@pytest.fixture
def studio(place: Place) -> Iterator[StudioClient]:
    with place.store.write() as connection:
        token = create_token(connection, place.accounts["owner"], "t", ["read", "label", "manage"], 1, time.time())
    inside = place.client()
    inside.headers["authorization"] = f"Bearer {token}"

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length", "transfer-encoding")}
        answer = inside.request(request.method, path, content=request.read(), headers=headers)
        return httpx.Response(answer.status_code, content=answer.content, headers=dict(answer.headers))

    with StudioClient("http://127.0.0.1:8100", token, transport=httpx.MockTransport(handle)) as client:
        yield client


def test_a_judge_labels_everything_once_and_says_what_it_saw(studio: StudioClient, place: Place) -> None:
    def shorter_number(prompt: object, answers: object) -> dict[str, object]:
        texts = list(answers)  # type: ignore[call-overload]
        return {"verdict": "prefer", "preferred": int(texts[1] < texts[0]), "strength": 1}

    assert studio.judge(place.project.id, "judge-1", shorter_number, both_orders=False).saved == 6
    assert studio.judge(place.project.id, "judge-1", shorter_number, both_orders=False).saved == 0
    for line in studio.export(place.project.id):
        row = json.loads(line)
        best = row["completions"][row["ranks"].index(0)][0]["content"]
        assert best.endswith(".0") and row["rater_kind"] == "ai"
    with place.store.read() as connection:
        labels = list(read_labels(connection, place.project))
        [judge] = figures(connection, place.project.id, names=False).raters
    assert {label.shown for label in labels} == {(0, 1), (1, 0)}  # as drawn
    first = sum(label.shown[0] == label.value["preferred"] for label in labels)
    assert (judge.decided, judge.first) == (6, first)


def test_a_judge_is_asked_in_both_orders_and_one_that_takes_the_first_makes_ties(
    studio: StudioClient, place: Place
) -> None:
    seen: list[tuple[str, ...]] = []

    def takes_the_first(prompt: object, answers: object) -> dict[str, object]:
        seen.append(tuple(answers))  # type: ignore[call-overload]
        return {"verdict": "prefer", "preferred": 0, "strength": 1}

    assert studio.judge(place.project.id, "first", takes_the_first, draws=2).saved == 6
    assert len(seen) == 6 * 4 and all(seen[i] == seen[i + 1] == seen[i + 2][::-1] for i in range(0, 24, 4))
    with place.store.read() as connection:
        labels = list(read_labels(connection, place.project))
        [judge] = figures(connection, place.project.id, names=False).raters
    assert {label.value["verdict"] for label in labels} == {"tie"} and judge.decided == 0
    assert all("order" in label.value["reason"] and len(label.draws) == 4 for label in labels)
    [found] = rater_report(labels).consistency
    assert (found.orders.share, found.first.share, found.again.share) == (0, 1, 1) and found.orders.n == 6


def test_items_go_in_and_answers_come_back(studio: StudioClient, place: Place, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "new", "response_a": "x", "response_b": "y"}) + "\n")
    assert studio.import_file(place.project.id, path).items == 1
    [card] = studio.projects()
    assert card.items == 7
    task = studio.desk(place.project.id).tasks[0]
    assert studio.answer(task.assignment, {"verdict": "tie"}).revision == 1


def test_an_answer_with_line_separators_is_one_line(studio: StudioClient, place: Place, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    text = "one\u2028two\u0085three\x0cfour"
    path.write_text(json.dumps({"prompt": "new", "response_a": text, "response_b": "y"}) + "\n")
    assert studio.import_file(place.project.id, path).items == 1
    studio.judge(place.project.id, "judge-1", lambda prompt, answers: {"verdict": "tie"})
    rows = [json.loads(line) for line in studio.export(place.project.id)]
    assert len(rows) == 7 and any(turn[0]["content"] == text for row in rows for turn in row["completions"])


def test_what_goes_wrong_is_said_in_the_studios_words(studio: StudioClient) -> None:
    with pytest.raises(InputError, match="no project 99"):
        studio.desk(99)
    with StudioClient("http://127.0.0.1:9", "x") as away, pytest.raises(ResourceError, match="can't be reached"):
        away.projects()
