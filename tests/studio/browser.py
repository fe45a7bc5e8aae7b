"""Chromium at a studio's page, and what went wrong on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.studio.crowd import free_port

from heedful.feedback.accounts import Role, begin_session
from heedful.feedback.judgements import Judgement
from heedful.feedback.labels import read_labels
from heedful.feedback.projects import Project
from heedful.studio.app import create_app
from heedful.studio.languages import read_languages
from heedful.studio.settings import Model, Settings

PHONE = {"width": 390, "height": 844}
CHECK = (Path(__file__).parent / "readable.js").read_text()
needs_chromium = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def readable(page: Any) -> None:
    """What an automatic check can tell of a page: contrast, names, sizes, headings, nothing sideways."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CHECK) == [], scheme


@dataclass
class Seen:
    """A page, and what went wrong on it."""

    page: Any
    place: Any
    url: str
    wrong: list[str] = field(default_factory=list)

    def sign_in(self, role: Role) -> None:
        """From here on the browser is this role's."""
        with self.place.store.write() as connection:
            secret = begin_session(connection, self.place.accounts[role], time.time())
        self.page.context.add_cookies([{"name": "heedful_session", "value": secret, "url": self.url}])

    def open(self, project: Project, what: str = "label") -> Any:
        self.page.goto(f"{self.url}/projects/{project.id}/{what}")
        self.page.wait_for_selector(".answer")
        return self.page

    def judgements(self, project: Project, wanted: int, parts: tuple[str, ...] = ("main", "chat")) -> list[Judgement]:
        """What the database holds, once so many are in."""
        end = time.monotonic() + 30
        while True:
            with self.place.store.read() as connection:
                found = list(read_labels(connection, project, parts=parts))
            if len(found) >= wanted or time.monotonic() > end:
                return found
            self.page.wait_for_timeout(50)

    def leave_or_note(self, dialog: Any) -> None:
        """Leave although an answer is still on its way: it waits in this browser, and the next page sends it."""
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            self.wrong.append(f"dialog {dialog.message}")
            dialog.dismiss()

    def next(self, act: Any) -> None:
        """Do something that sends an answer, and wait for another item or the end."""
        before = self.page.locator("#desk").get_attribute("data-assignment")
        act()
        self.page.wait_for_function(
            "before => document.querySelector('[data-finished]') || "
            "(document.querySelector('.answer') && document.getElementById('desk').dataset.assignment !== before)",
            arg=before,
        )


@contextmanager
def looking_at(
    place: Any, chromium: Any, models: tuple[Model, ...] = (), locale: str = "en-US", words: Path | None = None
) -> Iterator[Seen]:
    """A rater's browser that asks for a language, at a studio that talks to these models and has an owner's words.

    At the end nothing may have gone wrong."""
    port = free_port()
    settings = Settings(
        database=place.settings.database, port=port, runs=place.settings.runs, models=models,
        languages=read_languages(words),
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(create_app(settings, place.store), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce", locale=locale)
    context.set_default_timeout(60_000)
    page = context.new_page()
    found = Seen(page, place, settings.url)
    found.sign_in("rater")
    page.on("console", lambda message: found.wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    page.on("dialog", found.leave_or_note)
    page.on("request", lambda r: None if r.url.startswith(settings.url) else found.wrong.append(f"left: {r.url}"))
    yield found
    context.close()
    server.should_exit = True
    thread.join(20)
    assert found.wrong == []
