"""Keys in a real browser: Enter sends whatever value has the focus, flags have keys, every key can be changed."""

from __future__ import annotations

import pytest
from tests.studio.browser import Seen, needs_chromium
from tests.studio.test_browser_chat import tab_to

from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Sheet

pytestmark = needs_chromium


def test_enter_sends_what_was_clicked(seen: Seen) -> None:
    """The button that was clicked has the focus still: Enter neither presses it again nor does nothing."""
    page = seen.open(seen.place.project)
    for button in (".scale button >> nth=0", "text=Both are good", "text=I can't judge", ".scale button >> nth=3"):
        page.click(button)
        seen.next(lambda: page.keyboard.press("Enter"))
    said = [judgement.value["verdict"] for judgement in seen.judgements(seen.place.project, 4)]
    assert said == ["prefer", "both_good", "cant_judge", "tie"]


def test_enter_sends_a_ranking_whose_chip_has_the_focus(seen: Seen) -> None:
    project = seen.place.add_project("rank", PRESETS["rank"].sheet, items=1, answers=3)
    page = seen.open(project)
    for letter, level in (("A", 1), ("B", 0)):
        page.click(f".chip:text-is('{letter}')")
        page.click(f".tier[data-level='{level}'] > span")
    page.focus(".chip:text-is('B')")
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    assert [judgement.value["ranks"][place] for place in judgement.shown] == [1, 0, None]


def test_space_presses_a_value_and_enter_any_other_button(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    tab_to(page, "A is better")
    page.keyboard.press("Space")
    assert page.locator(".scale [aria-pressed=true]").inner_text().startswith("A is better")
    tab_to(page, "Report")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog")
    page.keyboard.press("Escape")
    assert seen.judgements(seen.place.project, 0) == []
    page.check("text=send at once")  # a box to tick is no text: keys still judge
    seen.next(lambda: page.keyboard.press("1"))
    assert len(seen.judgements(seen.place.project, 1)) == 1


def test_a_key_held_down_confirms_nothing(seen: Seen) -> None:
    project = seen.place.add_project("safety", PRESETS["safety"].sheet, items=1)
    page = seen.open(project)
    for key in "218":  # an unsafe answer preferred to a safe one: asked about once
        page.keyboard.press(key)
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")  # as a key does that is held
    page.keyboard.up("Enter")
    page.wait_for_selector("#toast:text('unsafe to a safe one')")
    assert page.locator("[data-finished]").count() == 0 and seen.judgements(project, 0) == []


@pytest.mark.parametrize("strength", [1, 3])
def test_a_double_click_on_an_answer_prefers_it(seen: Seen, strength: int) -> None:
    project = seen.place.add_project("twice", Sheet(strength=strength), items=1)
    page = seen.open(project)
    page.dblclick(".answer >> nth=1 >> .as-meant p", position={"x": 9, "y": 9})  # a word, which the browser selects
    chosen = ".scale [aria-pressed=true]"
    assert page.locator(chosen).inner_text().startswith("B is")
    assert page.evaluate("String(getSelection())") == ""
    page.click(".scale button >> nth=-1")
    before = page.locator(chosen).inner_text()
    page.dblclick(".answer >> nth=1 >> .as-meant p", position={"x": 9, "y": 9})
    assert page.locator(chosen).inner_text() == before, "how much better it is was said already"


def test_flags_are_set_by_keys(seen: Seen) -> None:
    """A key leads to them, ten at a time, and digits set them; those who rate without flags never come by them."""
    project = seen.place.add_project("flags", PRESETS["instructgpt"].sheet, items=1, answers=2)
    page = seen.open(project)
    here = "document.querySelector('.here').getAttribute('aria-label')"
    page.keyboard.press("4")  # the first answer's rating, and on to the second's
    assert page.evaluate(here) == "Overall quality, Answer B"
    for key in ("f", "3", "0", "3", "f", "1"):  # the third set and taken back, the tenth and the eleventh
        page.keyboard.press(key)
        assert page.evaluate(here) == "Remarks on Answer B"
    page.keyboard.press("f")  # round to the first answer's
    assert page.evaluate(here) == "Remarks on Answer A"
    assert page.locator(".flags.here kbd").all_inner_texts() == list("1234567890")
    assert not page.locator(".flags:not(.here) kbd").first.is_visible()
    page.keyboard.press("2")
    for key in ("ArrowDown", "ArrowDown", "6", "1", "2"):
        page.keyboard.press(key)
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    said = [{key: judgement.value[key][place] for key in ("ratings", "flags", "ranks")} for place in judgement.shown]
    assert said == [
        {"ratings": {"overall": 4}, "flags": ["inappropriate"], "ranks": 0},
        {"ratings": {"overall": 6}, "flags": ["opinion", "moral_judgement"], "ranks": 1},
    ]


def test_a_sheet_that_begins_with_flags_begins_with_what_must_be_said(seen: Seen) -> None:
    sheet = Sheet(flags=PRESETS["oasst"].sheet.flags)
    project = seen.place.add_project("flags", sheet, items=1)
    page = seen.open(project)
    page.keyboard.press("7")
    seen.next(lambda: page.keyboard.press("Enter"))
    [judgement] = seen.judgements(project, 1)
    assert judgement.value["verdict"] == "prefer" and "flags" not in judgement.value


def test_the_key_for_flags_can_be_changed_like_any(seen: Seen) -> None:
    project = seen.place.add_project("flags", PRESETS["oasst"].sheet, items=1)
    page = seen.open(project)
    page.keyboard.press("?")
    page.click("[aria-label^='Change the key for: To the remarks']")
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    for key in ("x", "4"):
        page.keyboard.press(key)
    assert page.locator(".flags [aria-pressed=true]").inner_text().startswith("Holds personal data")


def test_the_keys_that_are_shown_are_those_of_the_sheet(seen: Seen) -> None:
    page = seen.open(seen.place.project)
    page.keyboard.press("?")
    pair = page.locator(".keys-table").inner_text()
    assert "They are equally good" in pair and "Send the answer" in pair
    for other in ("chat", "ranking", "remarks", "guidelines"):  # which this sheet and project do not have
        assert other not in pair
    page.keyboard.press("Escape")
    seen.open(seen.place.add_project("rank", PRESETS["rank"].sheet, items=1, answers=3))
    page.keyboard.press("?")
    rank = page.locator(".keys-table").inner_text()
    assert "out of the ranking" in rank and "I can't judge this" in rank and "Both are good" not in rank
