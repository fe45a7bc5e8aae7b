"""Every example of docs/api.md does what the page says, against a studio that serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.studio.conftest import PASSWORD, Place
from tests.studio.crowd import free_port

from heedful.feedback.accounts import create_token
from heedful.feedback.presets import PRESETS
from heedful.studio.app import create_app
from heedful.studio.client import StudioClient
from heedful.studio.settings import Model, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
THERE = "http://127.0.0.1:8100"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) (answers?|turn) \| `(\{.*?\})`", re.M)
ANSWERS = ["Four.", "It is\nfive\nor six.", "Hmm."]


@pytest.fixture
def url(place: Place, models: tuple[Model, ...]) -> Iterator[str]:
    """Where a studio serves, without a project but the conftest's."""
    port = free_port()
    settings = Settings(database=place.settings.database, port=port, models=models)
    server = uvicorn.Server(uvicorn.Config(create_app(settings, place.store), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield settings.url
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def token(place: Place) -> str:
    with place.store.write() as connection:
        return create_token(connection, place.accounts["owner"], "t", ["read", "label", "manage"], 1, time.time())


def blocks() -> list[tuple[str, list[Any]]]:
    """Each block of shell with what the page says that it prints."""
    found = re.findall(r"```sh\n(.*?)```(?:\n```json\n(.*?)```)?", PAGE, re.S)
    return [(shell, list(values(said))) for shell, said in found]


def values(text: str) -> Iterator[Any]:
    """The JSON values that stand one behind the other; an order that is drawn anew each time is none."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        if isinstance(value, dict) and "answers" in value:
            value["answers"] = sorted(value["answers"])
        yield value
        rest = rest[end:].strip()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the examples need curl and jq")
def test_the_examples_with_curl(url: str, tmp_path: Path) -> None:
    assert PASSWORD in PAGE
    script = "\necho @@@\n".join(shell for shell, _ in blocks()).replace(THERE, url)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = [list(values(part)) for part in done.stdout.split("@@@")]
    assert printed == [said for _, said in blocks()]


def test_the_example_in_python(url: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.csv").write_text('prompt,response_a,response_b\nWhere?,Canberra.,"Sydney, I think."\n')
    printed: list[Any] = []
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(code.replace(THERE, url), {"token": token, "print": lambda *said: printed.append(said)})
    assert printed[:1] + printed[2:3] == [(1, []), (2,)] and printed[1][0] == "Where?"
    assert json.loads(printed[3][0])["ranks"] == [0, 0]


def test_every_sheet_has_its_row() -> None:
    assert [name for name, *_ in ROW.findall(PAGE)] == list(PRESETS)


@pytest.mark.parametrize(
    ("name", "many", "what", "value"), ROW.findall(PAGE), ids=[row[0] for row in ROW.findall(PAGE)]
)
def test_the_judgement_of_each_sheet(
    url: str, token: str, tmp_path: Path, name: str, many: str, what: str, value: str
) -> None:
    with StudioClient(url, token) as studio:
        project = studio.create_project(name, preset=name, queue={"overlap": 1})
        if what == "turn":
            assignment = say(url, token, project)
        else:
            row = {"prompt": "What is two and two?", "completions": ANSWERS[: int(many)]}
            if many == "1":
                row["completions"] = ANSWERS[1:2]  # of three steps
            (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
            assert studio.import_file(project, tmp_path / "a.jsonl").items == 1
            assignment = studio.desk(project).tasks[0].assignment
        assert studio.answer(assignment, json.loads(value)).revision == 1
        [line] = studio.export(project, "raw")
    kept = json.loads(line)["value"]
    assert kept.keys() == json.loads(value).keys()


def say(url: str, token: str, project: int) -> int:
    """The page's way to a turn of a chat."""
    with httpx.Client(base_url=f"{url}/api", headers={"Authorization": f"Bearer {token}"}) as http:
        talk = http.post(f"/projects/{project}/conversations", json={"goal": "to see"}).json()
        body = {"client_uuid": "7f1c8a52-6d1e-4a0b-9a54-5b1f0a2f3c11", "text": "What is two and two?"}
        return int(http.post(f"/conversations/{talk['id']}/turns", json=body).json()["turns"][-1]["assignment"])
