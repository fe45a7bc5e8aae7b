"""The server is killed while many write: every answer that was acknowledged is there, exactly once."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from tests.feedback.conftest import new_item, plain

from heedful.feedback.accounts import create_account, create_token
from heedful.feedback.backup import check_file, copy_database
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import add_members, create_project, read_project
from heedful.feedback.store import Store, count, open_store
from heedful.feedback.tables import judgement

TWICE = "SELECT item_id FROM assignment WHERE slot IS NOT NULL GROUP BY item_id, slot HAVING count(*) > 1"
WRONG = """SELECT id FROM item WHERE taken > target OR taken <>
    (SELECT count(*) FROM assignment WHERE item_id = item.id AND slot IS NOT NULL)"""
WRITERS = 50
ROUNDS = 1


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(database: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heedful", "studio", "--database", str(database), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=2).status_code == 200:
                return server
        except httpx.HTTPError:
            time.sleep(0.05)
    server.kill()
    raise AssertionError("the studio did not start")


def fill(store: Store) -> tuple[int, list[str]]:
    with store.write() as connection:
        project = read_project(connection, create_project(connection, "p", PRESETS["pair"].sheet, plain(overlap=2)))
        tokens = []
        for number in range(WRITERS):
            one = create_account(connection, f"w{number}", "w", "service", "", time.time())
            connection.exec_driver_sql(f"UPDATE account SET role = 'rater' WHERE id = {one}")
            add_members(connection, [project.id], one)
            tokens.append(create_token(connection, one, "t", ["read", "label"], 1, time.time()))
    import_items(store, project, [new_item(i) for i in range(600)], Imported())
    return project.id, tokens


def wait_for(store: Store, judgements: int) -> None:
    """Until so many are in, however busy the machine is."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with store.read() as connection:
            if count(connection, judgement) >= judgements:
                return
        time.sleep(0.1)


def write_until(stop: Event, base: str, project: int, token: str) -> tuple[list[str], list[tuple[int, str]]]:
    """Acknowledged UUIDs, and what was under way when the connection broke."""
    acknowledged, broken = [], []
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        while not stop.is_set():
            key, number = str(uuid.uuid4()), 0
            try:
                tasks = client.post(f"/api/projects/{project}/desk").json()["tasks"]
                if not tasks:
                    break
                number = tasks[0]["assignment"]
                body = {"client_uuid": key, "value": {"verdict": "prefer", "preferred": 1, "strength": 1}}
                if client.post(f"/api/assignments/{number}/judgements", json=body).status_code == 200:
                    acknowledged.append(key)
            except (httpx.HTTPError, json.JSONDecodeError):
                if number:
                    broken.append((number, key))
                break
    return acknowledged, broken


@pytest.mark.slow
def test_every_acknowledged_answer_outlives_a_kill_once(tmp_path: Path) -> None:
    database, port = tmp_path / "studio.db", free_port()
    store = open_store(str(database))
    project, tokens = fill(store)
    store.close()
    base = f"http://127.0.0.1:{port}"
    acknowledged: list[str] = []
    copies = 0
    for round_ in range(ROUNDS):
        server, stop = start(database, port), Event()
        with ThreadPoolExecutor(WRITERS) as pool:
            running = [pool.submit(write_until, stop, base, project, token) for token in tokens]
            live = Store(str(database))
            wait_for(live, 3 * WRITERS)
            copy_database(live, tmp_path / f"copy-{round_}.db")  # a backup under load is whole
            live.close()
            check_file(tmp_path / f"copy-{round_}.db")
            copies += 1
            os.kill(server.pid, signal.SIGKILL)
            stop.set()
            results = [one.result() for one in running]
        server.wait()
        acknowledged += [key for keys, _ in results for key in keys]
        server = start(database, port)
        for (_, broken), token in zip(results, tokens, strict=True):  # browsers send again what was not acknowledged
            for number, key in broken:
                body = {"client_uuid": key, "value": {"verdict": "prefer", "preferred": 1, "strength": 1}}
                answer = httpx.post(f"{base}/api/assignments/{number}/judgements", json=body,
                                    headers={"Authorization": f"Bearer {token}"}, timeout=30)  # fmt: skip
                assert answer.status_code == 200, answer.text
                acknowledged.append(key)
        server.terminate()
        server.wait(20)
    with sqlite3.connect(database) as found:
        stored = [row[0] for row in found.execute("SELECT client_uuid FROM judgement")]
        twice, over = (found.execute(query).fetchall() for query in (TWICE, WRONG))
        assert found.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    found.close()
    assert len(acknowledged) > WRITERS and copies == ROUNDS
    assert not set(acknowledged) - set(stored) and len(stored) == len(set(stored))
    assert twice == [] and over == []
