"""Care for raters in a real browser: warned before they look, heard when a check is wrong, reminded of a break."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.feedback.conftest import plain
from tests.studio.browser import PHONE, Seen, needs_chromium, readable
from tests.studio.conftest import Place
from tests.studio.test_appeals import checks
from tests.studio.test_browser_chat import tab_to
from tests.studio.test_disputes import disagree

from heedful.feedback.intake import import_file
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, change_project
from heedful.feedback.tables import item

pytestmark = needs_chromium


def warned(place: Place, folder: Path, warnings: list[str], of_all: str = "") -> Project:
    """A project of items in a file whose column `warning` says these."""
    project = place.add_project("hard", PRESETS["pair"].sheet, items=0, members=("rater", "reviewer"))
    rows = [
        {"prompt": f"secret {i}", "response_a": "terrible x", "response_b": "terrible y", "warning": said}
        for i, said in enumerate(warnings)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_file(place.store, project.id, folder / "rows.jsonl").items == len(rows)
    with place.store.write() as connection:
        change_project(connection, project.id, warning=of_all, queue=plain())
    return project


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_an_item_is_covered_until_its_rater_opens_it(seen: Seen, size: str, tmp_path: Path) -> None:
    page = seen.page
    if size == "phone":
        page.set_viewport_size(PHONE)
    project = warned(seen.place, tmp_path, ["It tells of violence."] * 3)
    page.goto(f"{seen.url}/projects/{project.id}/label")
    page.wait_for_selector(".cover")
    assert "It tells of violence." in page.locator(".cover").inner_text()
    assert "secret" not in page.content() and "terrible" not in page.content()
    readable(page)
    page.keyboard.press("1")  # no key judges what was not seen
    page.keyboard.press("s")
    page.wait_for_function("document.querySelectorAll('.cover').length === 1")
    assert seen.judgements(project, 0) == []
    page.wait_for_function("document.activeElement.textContent === 'Open it'")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")
    assert "terrible" in page.locator(".answers").inner_text()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cover")
    assert len(seen.judgements(project, 1)) == 1
    [one] = seen.place.client("owner").get(f"/api/projects/{project.id}/figures").json()["raters"]
    assert (one["done"], one["skipped"]) == (1, 1)


def test_a_project_warns_once_a_visit(seen: Seen, tmp_path: Path) -> None:
    page = seen.page
    project = warned(seen.place, tmp_path, ["", "yes"], of_all="Medical pictures in words.")
    page.goto(seen.url)
    page.wait_for_selector(".note:text('Medical pictures')")
    seen_words = []
    page.goto(f"{seen.url}/projects/{project.id}/label")
    for _ in range(2):
        page.wait_for_selector(".cover, .answer")
        if page.locator(".cover").count():
            seen_words += page.locator(".cover p:not(.dim)").all_inner_texts()
            page.click("text=Open it")
        page.wait_for_selector(".answer")
        page.click(".scale button >> nth=0")
        page.click(".send")
        page.wait_for_selector(".cover, [data-finished], .answer:not(.chosen)")
    assert seen_words.count("Medical pictures in words.") == 1 and seen_words.count("It may be hard to look at.") == 1


def test_a_reviewer_is_warned_too(seen: Seen, tmp_path: Path) -> None:
    project = warned(seen.place, tmp_path, ["It tells of violence."])
    disagree(seen.place, project)
    seen.sign_in("reviewer")
    seen.page.goto(f"{seen.url}/projects/{project.id}")
    seen.page.get_by_text("to decide: a second look").wait_for()
    seen.page.get_by_role("link", name="Second looks (1)").click()
    seen.page.wait_for_selector(".cover")
    assert "terrible" not in seen.page.content()
    seen.page.click("text=Open it")
    seen.page.wait_for_selector(".answer")


LETTERS = """e => {
  const words = document.createRange();
  words.selectNodeContents(e);
  const [own, around] = [words.getBoundingClientRect(), e.parentElement.getBoundingClientRect()];
  return [getComputedStyle(e).direction, Math.abs(own.left - around.left) < 2, Math.abs(own.right - around.right) < 2];
}"""


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_text_from_right_to_left_runs_that_way(seen: Seen, size: str, tmp_path: Path) -> None:
    """By its language, where an item names it, and paragraph by paragraph where another one stands in it."""
    page = seen.page
    if size == "phone":
        page.set_viewport_size(PHONE)
    project = seen.place.add_project("fa", PRESETS["edit"].sheet, items=0)
    said = ["GPT چیست؟\n\nIt is short.\n\n- یک\n- دو\n\n```\nx = 1\n```", "نمی\u200cدانم."]
    row = {"prompt": "GPT یعنی چه؟", "response_a": said[0], "response_b": said[1], "lang": "fa"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert import_file(seen.place.store, project.id, tmp_path / "rows.jsonl").items == 1
    seen.open(project)
    assert page.locator(".prompt .text").get_attribute("lang") == "fa"
    assert page.locator(".prompt .text").get_attribute("dir") == "rtl"
    card = page.locator(".answer", has_text="short")
    assert card.locator(".text").get_attribute("lang") == "fa"
    english = card.locator("p", has_text="short").evaluate(LETTERS)
    assert english == ["ltr", True, False]
    assert card.locator("p").first.evaluate(LETTERS) == ["rtl", False, True]  # though it begins in Latin letters
    one = page.locator(".answer .text > p", has_text="دانم").evaluate(LETTERS)
    assert (
        one == ["rtl", False, True] and card.locator("li").first.evaluate("e => getComputedStyle(e).direction") == "rtl"
    )
    assert card.locator("pre").first.evaluate("e => getComputedStyle(e).direction") == "ltr"
    page.keyboard.press("w")
    assert card.locator(".raw").is_visible() and card.locator(".raw").get_attribute("lang") == "fa"
    page.keyboard.press("w")
    page.click(f"text=Edit {'AB'[page.locator('.answer').all_inner_texts().index(card.inner_text())]}")
    page.keyboard.type("پایان ")
    page.wait_for_selector(".diff ins")
    assert page.locator(".diff").evaluate("e => getComputedStyle(e).direction") == "rtl"
    readable(page)


def test_a_wrong_check_is_appealed_against_and_settled(seen: Seen) -> None:
    """By keyboard alone on the rater's side; then the owner settles it, and the rater reads what came of it."""
    page, project = seen.page, checks(seen.place, "training")
    seen.open(project)
    texts = [text.split()[-1] for text in page.locator(".answer .as-meant").all_inner_texts()]
    page.keyboard.press("17"[texts.index(max(texts))])  # the one that the check doesn't expect
    asked = page.locator(".prompt .as-meant").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector(".feedback")
    assert page.locator(".prompt .as-meant").inner_text() == asked  # the item is there still, as it was judged
    assert [text.split()[-1] for text in page.locator(".answer .as-meant").all_inner_texts()] == texts
    wrong, right = ("AB"[texts.index(which)] for which in (max(texts), min(texts)))
    told = page.locator(".feedback").inner_text()
    assert f"Your answer: {wrong} is better." in told and f"Our answer: {right} is better." in told
    page.keyboard.press("w")
    assert page.locator(".answer .raw").first.is_visible()
    page.keyboard.press("w")
    readable(page)
    tab_to(page, "I think this check is wrong")
    page.keyboard.press("Enter")
    page.keyboard.type("the other one is true")
    tab_to(page, "Send it")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog", state="detached")
    assert "doesn't count for you or against you" in page.locator("#toast").inner_text()
    seen.sign_in("owner")
    page.goto(f"{seen.url}/projects/{project.id}")
    page.wait_for_selector(".appeal")
    page.click(".appeal summary")
    said = page.locator(".appeal").inner_text()
    assert "on a training item: “the other one is true”" in said
    assert f"The check says: {'AB'[texts.index(min(texts))]} is better." in said
    readable(page)
    page.fill("[aria-label='A word to the rater']", "We mended it.")
    page.click("text=The check is wrong")
    page.wait_for_selector(".appeal", state="detached")
    seen.sign_in("rater")
    page.goto(f"{seen.url}/projects/{project.id}/label")
    page.wait_for_selector(".settled")
    assert "You were right" in page.locator(".settled").inner_text()
    assert "We mended it." in page.locator(".settled").inner_text()
    readable(page)
    page.click("text=I have read it")
    page.reload()
    page.wait_for_selector("[data-finished]")
    assert page.locator(".settled").count() == 0


def test_a_training_item_that_was_taken_out_meanwhile_holds_nobody_up(seen: Seen) -> None:
    page, project = seen.page, checks(seen.place, "training", 2)
    seen.open(project)
    first = page.locator(".prompt .as-meant").inner_text()
    with seen.place.store.write() as connection:
        connection.execute(update(item).where(item.c.part == "training").values(open=False, expected={}))
    page.keyboard.press("1")
    seen.next(lambda: page.keyboard.press("Enter"))
    assert page.locator(".prompt .as-meant").inner_text() != first


def test_something_wrong_with_an_answered_item_can_be_said_too(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.keyboard.press("1")
    seen.next(lambda: page.keyboard.press("Enter"))
    assert len(seen.judgements(seen.place.project, 1)) == 1
    seen.next(lambda: page.keyboard.press("u"))
    page.keyboard.press("r")
    page.keyboard.type("both are the same")
    page.click("text=Send it")
    page.wait_for_selector("dialog", state="detached")
    found = seen.place.client("owner").get(f"/api/projects/{seen.place.project.id}/appeals").json()["waiting"]
    assert [(one["part"], one["text"]) for one in found] == [("main", "both are the same")]


def test_a_break_is_reminded_of_where_one_asked_for_it(seen: Seen) -> None:
    page = seen.page
    times = "{ since: Date.now() - 51 * 60000, last: Date.now() - 60000 }"
    worked = f"localStorage.setItem('heedful.rest.worked', JSON.stringify({times}))"
    seen.open(seen.place.project)
    page.goto(seen.url)
    page.get_by_text("0 by you · 6 items for all raters together").wait_for()
    seen.open(seen.place.project)
    page.evaluate(worked)
    page.reload()
    page.wait_for_selector(".answer")
    assert page.locator(".rest").count() == 0  # nobody asked for it
    page.goto(f"{seen.url}/account")
    page.select_option("#rest", "50")
    seen.open(seen.place.project)
    assert "51 minutes" in page.locator(".rest").inner_text()
    readable(page)
    page.click(".rest button")
    assert page.locator(".rest").count() == 0
    page.reload()
    page.wait_for_selector(".answer")
    assert page.locator(".rest").count() == 0
    stretch = "([b, n]) => import('/static/js/rest.js').then((it) => it.stretch(b, n))"
    minute = 60000
    assert page.evaluate(stretch, [{"since": 0, "last": 30 * minute}, 34 * minute]) == {"since": 0, "last": 34 * minute}
    assert page.evaluate(stretch, [{"since": 0, "last": 30 * minute}, 36 * minute])["since"] == 36 * minute  # a pause


def test_whoever_has_answered_enough_for_an_hour_is_told_when_to_go_on(seen: Seen) -> None:
    page, project = seen.page, seen.place.project
    with seen.place.store.write() as connection:
        change_project(connection, project.id, queue=plain(overlap=3, hourly=1))
    seen.open(project)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Enough for now").wait_for()
    assert "The next ones come from " in page.locator("[data-finished]").inner_text()
    readable(page)
