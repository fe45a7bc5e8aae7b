"""A studio with a project and one account of each role."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.chromium import chromium_program
from tests.feedback.conftest import new_item, plain
from tests.feedback.conftest import one_seed as one_seed  # a fixture of these tests too
from tests.postgres import MISSING, postgres_server
from tests.studio.browser import Seen, looking_at
from tests.studio.endpoint import SAYS, Endpoint

from heedful.feedback.accounts import ROLES, begin_session, create_account
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, add_members, create_project, read_project
from heedful.feedback.sheet import Sheet
from heedful.feedback.store import Store, open_store
from heedful.studio.app import create_app
from heedful.studio.settings import Model, Settings

PASSWORD = "a plain pass phrase"
MODELS = (Model("first", "http://127.0.0.1:9/v1"), Model("second", "http://127.0.0.1:9/v1"))


@dataclass
class Place:
    """A studio under test."""

    settings: Settings
    store: Store
    app: Any
    project: Project
    accounts: dict[str, int]

    def client(self, role: str = "", **headers: str) -> TestClient:
        """A browser that is signed in as this role; "" is nobody."""
        client = TestClient(self.app, base_url="http://127.0.0.1:8100", headers=headers)
        if role:
            with self.store.write() as connection:
                client.cookies.set("heedful_session", begin_session(connection, self.accounts[role], time.time()))
            client.headers["sec-fetch-site"] = "same-origin"
        return client

    def add_project(
        self, name: str, sheet: Sheet, items: int = 2, members: tuple[str, ...] = ("rater",), **more: Any
    ) -> Project:
        with self.store.write() as connection:
            made = read_project(connection, create_project(connection, name, sheet, plain()))
            for role in members:
                add_members(connection, [made.id], self.accounts[role])
        import_items(self.store, made, [new_item(i, **more) for i in range(items)], Imported())
        return made


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = Settings(database=str(tmp_path / "studio.db"), runs=tmp_path / "runs", models=MODELS)
    store = open_store(settings.database)
    with store.write() as connection:
        accounts = {
            role: create_account(connection, role, role, role, "" if role == "service" else PASSWORD, time.time())
            for role in ROLES
        }
        project = read_project(connection, create_project(connection, "p", PRESETS["pair"].sheet, plain(overlap=3)))
        for role in ("reviewer", "rater", "service"):
            add_members(connection, [project.id], accounts[role])
    import_items(store, project, [new_item(i) for i in range(6)], Imported())
    yield Place(settings, store, create_app(settings, store), project, accounts)
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of either kind; a server for PostgreSQL is started where one can be."""
    if request.param == "sqlite":
        yield str(tmp_path / "studio.db")
        return
    if MISSING:
        pytest.skip(f"PostgreSQL {MISSING}")
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    library = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")
    program = chromium_program()
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def seen(place: Place, chromium: Any) -> Iterator[Seen]:
    with looking_at(place, chromium) as found:
        yield found


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[Model, ...]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tuple(Model(name, f"http://127.0.0.1:{server.server_port}/{name}/v1") for name in SAYS)
    server.shutdown()
    server.server_close()


@pytest.fixture
def talking(place: Place, chromium: Any, models: tuple[Model, ...]) -> Iterator[Seen]:
    with looking_at(place, chromium, models) as found:
        yield found
