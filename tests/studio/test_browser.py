"""The pages in a real browser: sheets by keys, by mouse and on a phone; lost connections; text that attacks."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from tests.studio.browser import CHECK, PHONE, Seen, needs_chromium, readable
from tests.studio.payloads import PAYLOADS

from heedful.feedback.accounts import begin_session
from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.records import Message, Prompt

pytestmark = needs_chromium


def answers(page: Any) -> list[str]:
    return [text.strip() for text in page.locator(".answer .as-meant").all_inner_texts()]


def test_pairs_by_keys_are_stored_as_they_were_seen(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    liked = {}
    for number, (key, side) in enumerate((("1", 0), ("7", 1), ("5", 1), ("ArrowLeft", 0))):
        prompt = page.locator(".prompt .as-meant").inner_text().strip()
        liked[prompt] = answers(page)[side]
        page.keyboard.press(key)
        seen.next(lambda: page.keyboard.press("Enter"))
        assert len(seen.judgements(seen.place.project, number + 1)) == number + 1
    for key in ("g", "b"):
        page.keyboard.press(key)
        seen.next(lambda: page.keyboard.press("Enter"))
    found = seen.judgements(seen.place.project, 6)
    for judgement in found[:4]:
        best = judgement.completions[judgement.value.get("preferred", -1)]
        assert best == liked[judgement.prompt.messages[0].content]
    assert [judgement.value["verdict"] for judgement in found[4:]] == ["both_good", "both_bad"]
    assert [judgement.value.get("strength", 0) for judgement in found[:3]] == [3, 3, 1]
    page.wait_for_selector("[data-finished]")
    assert page.locator("#saved").inner_text() == "Saved"


def test_going_back_changes_an_answer_as_a_new_revision(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.keyboard.press("1")
    seen.next(lambda: page.keyboard.press("Enter"))
    seen.next(lambda: page.keyboard.press("u"))
    assert page.locator(".scale [aria-pressed=true]").count() == 1
    page.keyboard.press("b")
    seen.next(lambda: page.keyboard.press("Enter"))
    end = time.monotonic() + 20
    while (found := seen.judgements(seen.place.project, 1)[0]).revision < 2 and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert found.value["verdict"] == "both_bad" and found.revision == 2


def test_a_ranking_by_keys_alone_with_ratings(seen: Seen) -> None:
    project = seen.place.add_project("sheet", PRESETS["instructgpt"].sheet, items=1, answers=4)
    page = seen.open(project)
    order = answers(page)
    for key in "4617" + "2113":
        page.keyboard.press(key)
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    ratings = {
        text: rating["overall"] for text, rating in zip(judgement.completions, judgement.value["ratings"], strict=True)
    }
    assert [ratings[text] for text in order] == [4, 6, 1, 7]
    ranks = dict(zip(judgement.completions, judgement.value["ranks"], strict=True))
    assert [ranks[text] for text in order] == [1, 0, 0, 2]


def test_a_ranking_sorted_by_its_ratings_where_the_sheet_asks_for_it(seen: Seen) -> None:
    sheet = PRESETS["instructgpt"].sheet.model_copy(update={"presort": "overall"})
    project = seen.place.add_project("sorted", sheet, items=3, answers=3)
    page = seen.open(project)

    def places() -> list[str]:
        return [text.strip() for text in page.locator(".answer .rank").all_inner_texts()]

    for key in "37":
        page.keyboard.press(key)
    assert places() == ["", "", ""]
    page.keyboard.press("3")
    assert places() == ["place 2", "place 1", "place 2"] and page.locator(".presorted").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_selector("#toast:text('left the order as your ratings gave it')")
    assert seen.judgements(project, 0) == []
    seen.next(lambda: page.keyboard.press("Enter"))  # it was meant so

    for key in "123" + "1":  # sorted C, B, A; then A is put first, beside C
        page.keyboard.press(key)
    assert places() == ["place 1", "place 2", "place 1"]
    page.reload()
    page.wait_for_selector(".answer")
    assert places() == ["place 1", "place 2", "place 1"], "a draft outlives a reload, its order by hand"
    seen.next(lambda: page.keyboard.press("Enter"))

    page.click(".chip:text-is('C')")  # by hand before any rating: nothing sorts it anew
    page.click(".tier[data-level='0'] > span")
    for key in "765":
        page.keyboard.press(key)
    assert places() == ["", "", "place 1"]
    page.keyboard.press("2")
    seen.next(lambda: page.keyboard.press("Enter"))
    kept, changed, own = seen.judgements(project, 3)
    assert [one.value.get("presorted", "") for one in (kept, changed, own)] == ["kept", "changed", ""]
    assert [kept.value["ranks"][place] for place in kept.shown] == [1, 0, 1]
    assert [changed.value["ranks"][place] for place in changed.shown] == [0, 1, 0]
    assert [own.value["ranks"][place] for place in own.shown] == [1, None, 0]


def test_a_ranking_by_mouse_dragging_and_clicking(seen: Seen) -> None:
    project = seen.place.add_project("rank", PRESETS["rank"].sheet, items=1, answers=3)
    page = seen.open(project)
    order = answers(page)

    def middle(selector: str) -> tuple[float, float]:
        box = page.locator(selector).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    page.mouse.move(*middle(".chip:text-is('B')"))
    page.mouse.down()
    page.mouse.move(*middle(".tier[data-level='0']"), steps=5)
    page.mouse.up()
    page.wait_for_timeout(30)
    page.click(".chip:text-is('A')")
    page.click(".tier[data-level='1'] > span")
    assert page.locator(".tier[data-level='0'] .chip").inner_text() == "B"
    seen.next(lambda: page.click(".send"))
    [judgement] = seen.judgements(project, 1)
    ranks = dict(zip(judgement.completions, judgement.value["ranks"], strict=True))
    assert [ranks[text] for text in order] == [1, 0, None]


def test_steps_by_keys(seen: Seen) -> None:
    project = seen.place.add_project("steps", PRESETS["steps"].sheet, items=0)
    prompt = Prompt(id="q", messages=(Message("user", "1 + 1 + 1?"),))
    one = NewItem(prompt=prompt, answers=("1 + 1 = 2\n\n2 + 1 = 4\nso it is 4",), sources=("m",))
    import_items(seen.place.store, project, [one], Imported())
    page = seen.open(project)
    page.keyboard.press("1")
    page.keyboard.press("3")
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    assert judgement.value["steps"] == ["right", "wrong", None]


def test_an_edit_by_mouse(seen: Seen) -> None:
    project = seen.place.add_project("edit", PRESETS["edit"].sheet, items=1)
    page = seen.open(project)
    page.set_viewport_size({"width": 1280, "height": 540})
    page.click(".scale button >> nth=0")
    page.click(".send")
    assert "as it should be" in page.locator("#toast").inner_text()
    top = "document.querySelector('.panel').getBoundingClientRect().top"
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    assert page.evaluate(f"document.activeElement.getBoundingClientRect().bottom <= {top}")  # not behind the panel
    page.click("text=Edit A")
    box = "[aria-label='The answer as it should be']"
    before = page.input_value(box)  # "answer 0.0", or the other
    page.fill(box, f"the better {before}<b>!</b>")
    page.wait_for_selector(".changes ins")
    assert page.locator(".changes p").inner_text() == "0 words out, 4 words in"
    assert page.locator(".diff ins").all_inner_texts() == ["the better ", "<b>!</b>"]
    assert page.locator(".diff del").count() == 0 and page.locator(".diff b").count() == 0
    page.fill(box, f"the \u202e better {before}")  # a character that turns the order of others
    page.wait_for_selector(".diff mark")
    assert page.locator(".diff mark").inner_text() == "U+202E"
    readable(page)
    page.fill(box, "a better one")
    seen.next(lambda: page.click(".send"))
    [judgement] = seen.judgements(project, 1)
    assert judgement.value["edited"] == "a better one"
    assert judgement.value["edited_from"] == judgement.shown[0]


DIFF = "([a, b]) => import('/static/js/diff.js').then((it) => it.diff(a, b))"


def test_changes_are_told_word_by_word(seen: Seen) -> None:
    page = seen.page
    page.goto(seen.url)
    draw = random.Random(3)

    def words(n: int) -> str:
        return "".join(draw.choice(["the ", "cat ", "it’s ", "sat.\n\n", "שלום ", "四", "x"]) for _ in range(n))

    for before, after in [
        ("", ""),
        ("", "a"),
        ("a b", ""),
        *((words(draw.randint(0, 30)), words(30)) for _ in range(30)),
    ]:
        parts = page.evaluate(DIFF, [before, after])
        assert "".join(text for kind, text in parts if kind != "in") == before
        assert "".join(text for kind, text in parts if kind != "out") == after
    assert page.evaluate(DIFF, ["It is a cat, I think.", "It is the dog, I think."]) == [
        ["same", "It is "], ["out", "a cat"], ["in", "the dog"], ["same", ", I think."],
    ]  # fmt: skip
    assert page.evaluate(DIFF, ["one two three", "one three"]) == [["same", "one "], ["out", "two "], ["same", "three"]]
    long = page.evaluate(DIFF, ["a " * 9000, "b " * 9000])  # nothing in common, and told at once all the same
    assert [kind for kind, _ in long] == ["out", "in", "same"]


def test_a_lost_connection_loses_nothing(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.context.set_offline(True)
    page.keyboard.press("1")
    seen.next(lambda: page.keyboard.press("Enter"))  # the next item was held already
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saved[data-state=waiting]")
    assert (
        "2 answers wait" in page.locator("#saved").inner_text() or "one answer" in page.locator("#saved").inner_text()
    )
    assert seen.judgements(seen.place.project, 0) == []
    page.context.set_offline(False)
    assert len(seen.judgements(seen.place.project, 2)) == 2
    seen.wrong[:] = [text for text in seen.wrong if "ERR_INTERNET_DISCONNECTED" not in text]


def test_an_answer_on_its_way_when_the_page_is_left_is_sent_by_the_next(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.route("**/judgements", lambda route: None)  # no answer comes
    page.keyboard.press("1")
    seen.next(lambda: page.keyboard.press("Enter"))
    page.unroute("**/judgements")
    page.reload()
    page.wait_for_selector(".answer")
    assert len(seen.judgements(seen.place.project, 1)) == 1


def test_an_answer_waits_while_somebody_else_is_signed_in(seen: Seen) -> None:
    page, place = seen.open(seen.place.project), seen.place
    secrets = {}
    with place.store.write() as connection:
        for role in ("reviewer", "rater"):
            secrets[role] = begin_session(connection, place.accounts[role], time.time())

    def sign_in(role: str) -> None:
        page.context.add_cookies([{"name": "heedful_session", "value": secrets[role], "url": seen.url}])

    sign_in("reviewer")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saved[data-state=waiting]")
    assert "Somebody else" in page.locator("#saved").inner_text()
    assert seen.judgements(place.project, 0) == []
    sign_in("rater")
    assert len(seen.judgements(place.project, 1)) == 1
    seen.wrong[:] = [text for text in seen.wrong if "status of 400" not in text]


def test_a_draft_outlives_a_reload(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.fill(".reason", "half a thou")
    page.keyboard.press("Escape")
    page.keyboard.press("6")
    page.reload()
    page.wait_for_selector(".answer")
    assert page.input_value(".reason") == "half a thou"
    assert page.locator(".scale [aria-pressed=true]").inner_text().startswith("B is better")


def test_no_text_runs_or_loads_anything(seen: Seen) -> None:
    project = seen.place.add_project("attack", PRESETS["rank"].sheet, items=0)
    chunks = [PAYLOADS[i : i + 9] for i in range(0, len(PAYLOADS), 9)]
    items = [
        NewItem(
            prompt=Prompt(id=str(i), messages=(Message("user", part[0]),)),
            answers=tuple(part),
            sources=("m",) * len(part),
        )
        for i, part in enumerate(chunks)
        if len(part) > 1
    ]
    import_items(seen.place.store, project, items, Imported())
    page = seen.open(project)
    for _ in items:
        assert page.evaluate("[window.owned, document.title, document.scripts.length]") == [None, "attack · heedful", 2]
        page.keyboard.press("w")
        seen.next(lambda: page.keyboard.press("s"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_every_page_can_be_read_and_reached(seen: Seen, scheme: Any, size: str) -> None:
    """Contrast, names, headings, labels, no sideways scrolling: what an automatic check can tell."""
    place, page = seen.place, seen.page
    with place.store.write() as connection:
        secret = begin_session(connection, place.accounts["owner"], time.time())
    page.context.add_cookies([{"name": "heedful_session", "value": secret, "url": seen.url}])
    page.emulate_media(color_scheme=scheme)
    if size == "phone":
        page.set_viewport_size(PHONE)
    paths = [
        "/",
        "/team",
        "/account",
        "/my-work",
        "/runs",
        "/selfcheck",
        "/projects/new",
        "/playground",
        f"/projects/{place.project.id}",
        f"/projects/{place.project.id}/disputes",
    ]
    nine = PRESETS["chat"].sheet.model_copy(
        update={"chat": "off", "conversation": ()}
    )  # nine steps from A to B, the most there are
    made = [
        place.add_project("all kinds of marks", PRESETS["instructgpt"].sheet, items=1, answers=3),
        place.add_project("nine steps or so", nine, items=1),
        place.add_project("helpful and harmless", PRESETS["hh"].sheet, items=1),
        place.add_project("safety", PRESETS["safety"].sheet, items=1),
        place.add_project("demonstrations", PRESETS["edit"].sheet, items=1),
    ]
    for path in [*paths, *(f"/projects/{project.id}/label" for project in (place.project, *made))]:
        page.goto(seen.url + path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate(CHECK) == [], path


def test_the_phone_does_all_that_the_desk_does(seen: Seen) -> None:
    page = seen.page
    page.set_viewport_size(PHONE)
    seen.open(seen.place.project)
    page.click(".scale button >> nth=6")
    seen.next(lambda: page.click(".send"))
    seen.next(lambda: page.get_by_role("button", name=re.compile("^Skip")).click())
    [judgement] = seen.judgements(seen.place.project, 1)
    assert judgement.value["preferred"] == judgement.shown[1] and judgement.value["strength"] == 3


def test_a_project_with_a_sheet_from_a_file(seen: Seen, tmp_path: Path) -> None:
    page = seen.page
    seen.sign_in("owner")
    sheet = tmp_path / "own.toml"
    sheet.write_text('compare = "pair"\nstrenght = 2\n')
    page.goto(f"{seen.url}/projects/new")
    page.fill("[name=name]", "mine")
    page.click("text=A sheet of your own")
    page.set_input_files("[name=sheet]", str(sheet))
    page.click("text=Make the project")
    page.wait_for_selector(".fault:text('did you mean')")
    sheet.write_text('compare = "pair"\nstrength = 2\ndegrees = ["by a hair", "by a mile"]\n')
    page.set_input_files("[name=sheet]", str(sheet))
    page.click("text=Make the project")
    page.wait_for_selector(".figures")
    made = seen.place.client("owner").get("/api/projects").json()
    assert next(one for one in made if one["name"] == "mine")["sheet"]["degrees"] == ["by a hair", "by a mile"]
    seen.wrong[:] = [text for text in seen.wrong if "status of 400" not in text]


def test_a_safe_answer_beaten_by_an_unsafe_one_is_asked_about_once(seen: Seen) -> None:
    project = seen.place.add_project("safety", PRESETS["safety"].sheet, items=1)
    page = seen.open(project)
    for key in "218":  # A is safe, B is not, and B is significantly better
        page.keyboard.press(key)
    assert "significantly better" in page.locator(".scale [aria-pressed=true]").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector("#toast:text('unsafe to a safe one')")
    assert seen.judgements(project, 0) == []
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    shown = judgement.shown
    assert [judgement.value["ratings"][place]["safe"] for place in shown] == [1, 0]
    assert judgement.value["preferred"] == shown[1]
