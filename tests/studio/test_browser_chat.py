"""Chats with two models and second looks in a real browser: by mouse, by keyboard alone, and on a phone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.studio.browser import PHONE, Seen, looking_at, needs_chromium
from tests.studio.conftest import Place
from tests.studio.test_disputes import disagree

from heedful.feedback.judgements import DECISION
from heedful.feedback.presets import PRESETS
from heedful.feedback.tables import conversation
from heedful.studio.settings import Model

pytestmark = needs_chromium
SAYS = {"tidy": "It is **four**: two and two.", "vague": "Hmm, who can know?"}
CHECK = (Path(__file__).parent / "readable.js").read_text()
NAME = "(e => e && (e.getAttribute('aria-label') || e.textContent.trim()))(document.activeElement)"
TOPIC, SPEECH = "[aria-label='Goal']", "[aria-label='What you say']"


class Endpoint(BaseHTTPRequestHandler):
    """Two OpenAI-compatible models; each answers in its own words, with how many messages it was given."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = f"{SAYS[self.path.split('/')[1]]} ({len(asked['messages'])}) {asked['seed']}"
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


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


def side_of(page: Any, word: str) -> int:
    """Which of the two answers on the screen holds a word."""
    page.wait_for_selector(".answer")
    return next(i for i, text in enumerate(page.locator(".answer").all_inner_texts()) if word in text)


def labels_of(seen: Seen) -> list[dict[str, int]]:
    with seen.place.store.read() as connection:
        return [row.ratings for row in connection.execute(select(conversation))]


def success_of(seen: Seen) -> list[tuple[int, bool]]:
    with seen.place.store.read() as connection:
        return [(row.success, row.open) for row in connection.execute(select(conversation))]


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_chat_by_mouse(talking: Seen, size: str) -> None:
    page, project = talking.page, talking.place.add_project("talk", PRESETS["chat"].sheet, items=0)
    if size == "phone":
        page.set_viewport_size(PHONE)
    page.goto(f"{talking.url}/projects/{project.id}/chat")
    page.fill(TOPIC, "sums")
    page.click("text=Begin")
    for number, (said, count) in enumerate((("What is 2 + 2?", 1), ("Are you sure?", 3))):
        page.fill(SPEECH, said)
        page.click("text=Say it")
        side = side_of(page, "four")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CHECK) == [], scheme
        assert f"({count})" in page.locator(".answer").nth(side).inner_text()  # what was preferred went on
        assert not any(name in page.content() for name in SAYS), "a rater must not learn the models' names"
        page.click(f".scale button >> nth={8 * side}")
        page.click("text=Go on")
        page.wait_for_selector(SPEECH)
        assert "four" in page.locator(".turn.assistant").nth(number).inner_text()
    page.click("text=End the conversation")
    page.click("text=End it")
    assert page.locator("dialog .fault").inner_text() == "Still open: The conversation as a whole"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CHECK) == [], scheme
    page.click("dialog .points button >> nth=4")
    page.click("text=End it")
    page.wait_for_selector(TOPIC)
    assert labels_of(talking) == [{"overall": 5}]
    labels = talking.judgements(project, 2)
    assert [label.sources[label.value["preferred"]] for label in labels] == ["tidy", "tidy"]
    assert [len(label.prompt.messages) for label in labels] == [1, 3] and success_of(talking) == [(0, False)]


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the element of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(NAME)
        if found and found.startswith(name):
            return
    raise AssertionError(f"Tab never comes to '{name}'")


def test_a_red_team_chat_by_keyboard_alone(talking: Seen) -> None:
    page, project = talking.page, talking.place.add_project("attack", PRESETS["red_team"].sheet, items=0)
    page.goto(f"{talking.url}/projects/{project.id}/chat")
    page.wait_for_selector(TOPIC)
    tab_to(page, "Goal")
    page.keyboard.type("make it rude")
    tab_to(page, "Begin")
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    page.wait_for_function(f'() => document.activeElement?.matches("{SPEECH}")')  # one can type at once
    page.keyboard.type("Say something rude.")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    first = page.locator(".answer").all_inner_texts()
    page.keyboard.press("n")  # other answers, please
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=first[0].split("\n")[-1])
    assert page.evaluate("document.activeElement.className").startswith("answer")
    page.keyboard.press("19"[side_of(page, "who")])
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    assert "who" in page.locator(".turn.assistant").inner_text()
    for name in ("End the conversation", "How far did you get? of the conversation: 4", "End it"):
        tab_to(page, name)
        page.keyboard.press("Enter")
    page.wait_for_selector(TOPIC)
    none, label = talking.judgements(project, 2)
    assert none.value == {"verdict": "none"} and not set(none.completions) & set(label.completions)
    assert label.sources[label.value["preferred"]] == "vague" and label.value["strength"] == 4
    assert success_of(talking) == [(4, False)]


def test_a_model_that_is_away_costs_no_word(place: Place, chromium: Any) -> None:
    away = tuple(Model(name, "http://127.0.0.1:9/v1") for name in SAYS)
    with looking_at(place, chromium, away) as seen:
        page, project = seen.page, place.add_project("talk", PRESETS["chat"].sheet, items=0)
        page.goto(f"{seen.url}/projects/{project.id}/chat")
        page.click("text=Begin")
        page.fill(SPEECH, "hello there")
        page.click("text=Say it")
        page.wait_for_function("() => document.getElementById('toast').textContent.includes('nothing was lost')")
        assert page.input_value(SPEECH) == "hello there" and page.is_enabled(SPEECH)
        seen.wrong[:] = [text for text in seen.wrong if "status of 503" not in text]


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_second_look(seen: Seen, size: str) -> None:
    """First blind, then what was said, then a decision with a reason; by mouse on the phone, by keys at the desk."""
    place, page = seen.place, seen.page
    project = place.add_project("odd", PRESETS["pair"].sheet, items=1, members=("rater", "reviewer"))
    liked = disagree(place, project)
    seen.sign_in("reviewer")
    if size == "phone":
        page.set_viewport_size(PHONE)
    page.goto(f"{seen.url}/projects/{project.id}")
    page.click("text=Second looks")
    page.wait_for_selector(".answer")
    assert not page.locator(".opinions li").first.is_visible()
    page.click(".opinions summary")
    said = " ".join(page.locator(".opinions li").all_inner_texts())
    assert "A person:" in said and "A machine:" in said and "because" in said
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CHECK) == [], scheme
    side = side_of(page, liked)
    if size == "phone":
        page.click(f".scale button >> nth={6 * side}")
        page.click(".send")
        assert "eason" in page.locator("#toast").inner_text() or "hy" in page.locator("#toast").inner_text()
        page.fill(".reason", "it is true")
        page.click(".send")
    else:
        page.keyboard.press("17"[side])
        page.keyboard.press("e")
        page.keyboard.type("it is true")
        page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-finished]")
    [decision] = seen.judgements(project, 1, parts=(DECISION,))
    assert decision.completions[decision.value["preferred"]] == liked and decision.value["reason"] == "it is true"
    assert len(seen.judgements(project, 2)) == 2


def test_a_reviewer_sees_what_a_rater_changed(seen: Seen) -> None:
    place, page = seen.place, seen.page
    project = place.add_project("odd", PRESETS["edit"].sheet, items=1, members=("rater", "reviewer"))
    liked = disagree(place, project, edited="answer nine")
    seen.sign_in("reviewer")
    seen.open(project, "disputes")
    page.click(".opinions summary")
    assert page.locator(".diff ins").all_inner_texts() == ["nine"]
    assert page.locator(".diff").inner_text().startswith("answer ")
    assert f"and edited {'AB'[side_of(page, liked)]}:" in page.locator(".opinions").inner_text()
    assert page.evaluate(CHECK) == []
