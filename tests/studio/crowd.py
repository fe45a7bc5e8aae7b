"""Many raters at a studio that runs in a process of its own: started, killed, worked at, and counted afterwards."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx
from sqlalchemy import text
from tests.feedback.conftest import new_item, plain

from heedful.feedback.accounts import create_account, create_token
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import add_members, create_project, read_project
from heedful.feedback.store import Store, open_store

SECONDS = float(os.environ.get("HEEDFUL_SOAK", "5"))  # `make test` sets this one, `make soak` both
BUSY = "no free connection in time"  # said with 503 to one of too many for a slow machine; nothing was saved
KILLS = int(os.environ.get("HEEDFUL_KILLS", "1"))
TWICE = "SELECT item_id FROM assignment WHERE slot IS NOT NULL GROUP BY item_id, slot HAVING count(*) > 1"
WRONG = """SELECT id FROM item WHERE taken > target OR taken <>
    (SELECT count(*) FROM assignment WHERE item_id = item.id AND slot IS NOT NULL)"""
VALUE = {"verdict": "prefer", "preferred": 1, "strength": 1}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(database: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heedful", "studio", "--database", database, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=2).status_code == 200:
                return server
        except httpx.HTTPError:
            time.sleep(0.05)
    server.kill()
    raise AssertionError("the studio did not start")


def fill(database: str, raters: int, items: int) -> tuple[int, list[str]]:
    """A project of items that two raters each shall judge, and the raters' tokens."""
    store = open_store(database)
    with store.write() as connection:
        project = read_project(connection, create_project(connection, "p", PRESETS["pair"].sheet, plain(overlap=2)))
        tokens = []
        for number in range(raters):
            one = create_account(connection, f"w{number}", "w", "service", "", time.time())
            connection.execute(text(f"UPDATE account SET role = 'rater' WHERE id = {one}"))
            add_members(connection, [project.id], one)
            tokens.append(create_token(connection, one, "t", ["read", "label"], 1, time.time()))
    import_items(store, project, [new_item(i) for i in range(items)], Imported())
    store.close()
    return project.id, tokens


@dataclass
class Work:
    """What one rater did: acknowledged UUIDs, what was under way when the connection broke, and errors."""

    acknowledged: list[str] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def work_until(stop: Event, base: str, project: int, token: str) -> Work:
    """Take an item and answer it, again and again; now and then skip one, keep a draft, or send an answer twice.

    At least once, however busy the machine is.
    """
    mine, rng = Work(), random.Random(token)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=60, verify=False) as client:  # no certificates to load
        while not stop.is_set() or not mine.acknowledged:
            key, number = str(uuid.uuid4()), 0
            try:
                desk = client.post(f"/api/projects/{project}/desk")
                if desk.status_code != 200:
                    mine.errors.append(f"{desk.status_code} {desk.text[:200]}")
                    time.sleep(0.2)
                    continue
                if not (tasks := desk.json()["tasks"]):
                    break
                number = tasks[0]["assignment"]
                answers = _act(client, number, key, rng)
                mine.errors += [f"{one.status_code} {one.text[:200]}" for one in answers if one.status_code != 200]
                if answers[-1].status_code == 200 and "judgement" in answers[-1].json():
                    mine.acknowledged.append(key)
            except (httpx.HTTPError, json.JSONDecodeError):
                if number:
                    mine.broken.append((number, key))
                break
    return mine


def _act(client: httpx.Client, number: int, key: str, rng: random.Random) -> list[httpx.Response]:
    path, body = f"/api/assignments/{number}", {"client_uuid": key, "value": VALUE}
    match rng.random():
        case chance if chance < 0.03:
            return [client.post(f"{path}/skip", json={"text": ""})]
        case chance if chance < 0.06:
            return [client.put(f"{path}/draft", json={"value": VALUE}), client.post(f"{path}/judgements", json=body)]
        case chance if chance < 0.09:
            return [client.post(f"{path}/judgements", json=body) for _ in range(2)]
    return [client.post(f"{path}/judgements", json=body)]


def send_again(base: str, token: str, broken: list[tuple[int, str]]) -> list[str]:
    """What a browser does with what was not acknowledged."""
    sent = []
    for number, key in broken:
        body: dict[str, Any] = {"client_uuid": key, "value": VALUE}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{base}/api/assignments/{number}/judgements", json=body, headers=headers, timeout=30)
        if answer.status_code == 400 and "skip" in answer.text:
            continue
        assert answer.status_code == 200, answer.text
        sent.append(key)
    return sent


def all_is_there_once(database: str, acknowledged: list[str]) -> None:
    """Every acknowledged answer exactly once, no place filled twice, and every item's count right."""
    store = Store(database)
    with store.read() as connection:
        stored = Counter(connection.execute(text("SELECT client_uuid FROM judgement")).scalars())
        twice, wrong = (connection.execute(text(query)).all() for query in (TWICE, WRONG))
        if store.sqlite:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
    assert not [key for key in acknowledged if stored[key] != 1], "an acknowledged answer is lost"
    assert max(stored.values()) == 1 and twice == [] and wrong == []
