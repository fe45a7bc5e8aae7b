"""Chats with two models and second looks in a real browser: by mouse, by keyboard alone, and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from tests.studio.browser import PHONE, Seen, looking_at, needs_chromium, readable
from tests.studio.conftest import Place
from tests.studio.endpoint import SAYS
from tests.studio.test_disputes import disagree

from heedful.feedback.judgements import DECISION
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project
from heedful.feedback.tables import conversation, notice
from heedful.feedback.tables import project as projects
from heedful.studio.settings import Model

pytestmark = needs_chromium
NAME = "(e => e && (e.getAttribute('aria-label') || e.textContent.trim()))(document.activeElement)"
TOPIC, SPEECH = "[aria-label='Goal']", "[aria-label='What you say']"


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
        readable(page)
        assert f"({count})" in page.locator(".answer").nth(side).inner_text()  # what was preferred went on
        assert not any(name in page.content() for name in SAYS), "a rater must not learn the models' names"
        page.click(f".scale button >> nth={8 * side}")
        page.click("text=Go on")
        page.wait_for_selector(SPEECH)
        assert "four" in page.locator(".turn.assistant").nth(number).inner_text()
    page.click("text=End the conversation")
    page.click("text=End it")
    assert page.locator("dialog .fault").inner_text() == "Still open: The conversation as a whole"
    readable(page)
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
    readable(page)
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
    readable(page)


def begun(seen: Seen, said: str = "") -> tuple[Any, Project]:
    """A conversation of this rater's, in which this was said."""
    page, project = seen.page, seen.place.add_project("talk", PRESETS["chat"].sheet, items=0)
    page.goto(f"{seen.url}/projects/{project.id}/chat")
    page.click("text=Begin")
    page.wait_for_selector(SPEECH)
    if said:
        page.fill(SPEECH, said)
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
    return page, project


def test_what_is_typed_in_a_chat_outlives_a_reload(talking: Seen) -> None:
    page, project = begun(talking)
    page.fill(SPEECH, "What is 2 + ")
    page.reload()
    page.wait_for_selector(SPEECH)
    assert page.input_value(SPEECH) == "What is 2 + "
    page.fill(SPEECH, "What is 2 + 2?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    page.keyboard.press("1")
    page.reload()
    page.wait_for_selector(".answer")
    assert page.locator(".scale [aria-pressed=true]").inner_text().startswith("A is far better")
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    assert page.input_value(SPEECH) == ""  # it was said
    page.click("text=End the conversation")
    page.click("dialog .points button >> nth=1")
    page.fill("[aria-label='A remark']", "it knew the su")
    page.reload()
    page.click("text=End the conversation")
    assert page.input_value("[aria-label='A remark']") == "it knew the su"
    page.click("text=End it")
    page.wait_for_selector(TOPIC)
    assert labels_of(talking) == [{"overall": 2}] and len(talking.judgements(project, 1)) == 1
    page.reload()
    page.wait_for_selector(TOPIC)  # a conversation that ended is not gone on with


def out_of_the_box(page: Any) -> None:
    """Leave the box to type in, which takes the focus a moment after it comes."""
    page.wait_for_function(f'() => document.activeElement?.matches("{SPEECH}")')
    page.keyboard.press("Escape")


def test_a_turn_is_skipped_chosen_anew_and_reported(talking: Seen) -> None:
    """By keys alone."""
    page, project = begun(talking, "Say something rude.")
    readable(page)
    page.keyboard.press("s")
    page.wait_for_selector(SPEECH)
    assert page.locator(".turn").count() == 0  # it was never said
    out_of_the_box(page)
    page.keyboard.press("u")
    assert "until you say something after it" in page.locator("#toast").inner_text()
    page.fill(SPEECH, "What is 2 + 2?")
    page.keyboard.press("Enter")
    side = side_of(page, "who")
    page.keyboard.press("19"[side])
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    assert "who" in page.locator(".turn.assistant").inner_text()
    out_of_the_box(page)
    page.keyboard.press("u")
    page.wait_for_selector(".answer.chosen")
    readable(page)
    page.keyboard.press("91"[side])
    page.keyboard.press("u")  # left as it was
    page.wait_for_selector(SPEECH)
    assert "who" in page.locator(".turn.assistant").inner_text()
    out_of_the_box(page)
    page.keyboard.press("u")
    page.wait_for_selector(".answer.chosen:has-text('who')")
    page.keyboard.press("91"[side])
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    assert "four" in page.locator(".turn.assistant").inner_text()
    [label] = talking.judgements(project, 1)
    assert (label.revision, label.sources[label.value["preferred"]]) == (2, "tidy")
    page.fill(SPEECH, "Are you sure?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    assert "(3)" in page.locator(".answer").nth(side_of(page, "four")).inner_text()
    page.keyboard.press("r")
    page.keyboard.type("one of them is rude")
    tab_to(page, "Report it")
    page.keyboard.press("Enter")
    page.wait_for_selector(SPEECH)
    assert page.locator(".turn.user").count() == 1 and len(talking.judgements(project, 1)) == 1
    with talking.place.store.read() as connection:
        assert connection.execute(select(notice.c.text)).scalars().all() == ["one of them is rude"]


@pytest.mark.parametrize("what", ["label", "chat"])
def test_time_is_counted_while_the_page_is_used(talking: Seen, what: str) -> None:
    """A minute after the last sign of life the clock stands still."""
    page, project = talking.page, talking.place.project
    page.clock.install()
    if what == "chat":
        page, project = begun(talking, "hello")
    else:
        talking.open(project)
    page.keyboard.press("1")
    page.clock.run_for(600_000)
    page.keyboard.press("Enter")
    [label] = talking.judgements(project, 1)
    assert 55 <= label.seconds <= 75


def test_a_decision_outlives_a_reload_and_a_lost_connection(seen: Seen) -> None:
    place, page = seen.place, seen.page
    project = place.add_project("odd", PRESETS["pair"].sheet, items=1, members=("rater", "reviewer"))
    liked = disagree(place, project)
    seen.sign_in("reviewer")
    seen.open(project, "disputes")
    side = side_of(page, liked)
    page.keyboard.press("17"[side])
    page.keyboard.press("e")
    page.keyboard.type("it is true")
    page.reload()
    page.wait_for_selector(".answer.chosen")
    assert page.input_value(".reason") == "it is true"
    page.context.set_offline(True)
    page.click(".send")
    page.wait_for_selector("#saved[data-state=waiting]")
    assert seen.judgements(project, 0, parts=(DECISION,)) == []
    page.context.set_offline(False)
    page.wait_for_selector("[data-finished]")
    [decision] = seen.judgements(project, 1, parts=(DECISION,))
    assert decision.completions[decision.value["preferred"]] == liked and decision.value["reason"] == "it is true"
    seen.wrong[:] = [text for text in seen.wrong if "ERR_INTERNET_DISCONNECTED" not in text]


def test_a_decision_that_is_refused_is_kept(seen: Seen) -> None:
    place, page = seen.place, seen.page
    project = place.add_project("odd", PRESETS["pair"].sheet, items=1, members=("rater", "reviewer"))
    disagree(place, project)
    seen.sign_in("reviewer")
    seen.open(project, "disputes")
    with place.store.write() as connection:  # the project asks otherwise meanwhile
        sheet = project.sheet.model_copy(update={"strength": 1}).model_dump(mode="json")
        connection.execute(update(projects).where(projects.c.id == project.id).values(sheet=sheet))
    page.keyboard.press("1")
    page.fill(".reason", "it is true")
    page.click(".send")
    page.wait_for_selector("#toast:text('What you filled in is kept.')")
    page.wait_for_function("() => document.querySelectorAll('.scale button').length === 3")
    assert page.input_value(".reason") == "it is true"
    seen.wrong[:] = [text for text in seen.wrong if "status of 400" not in text]
