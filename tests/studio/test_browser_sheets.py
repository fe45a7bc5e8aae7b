"""Every kind of sheet by mouse, by keyboard alone and at a phone's width: what is stored is what was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.feedback.conftest import new_item
from tests.studio.browser import PHONE, Seen, needs_chromium, readable
from tests.studio.test_browser_chat import SPEECH, TOPIC, tab_to

from heedful.feedback.fitting import NewItem
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Sheet
from heedful.records import Message, Prompt

pytestmark = needs_chromium
WAYS = ("mouse", "keys", "phone")
DESK = {"width": 1280, "height": 800}
EDITED = "as it should be"
STEPS = ("right", "wrong", None)  # what follows a wrong step need not be said
RANKS = (1, 0, 1, None)


def item_for(sheet: Sheet, number: int) -> NewItem:
    if sheet.steps:
        prompt = Prompt(id=f"q{number}", messages=(Message("user", f"1 + 1 + {number}?"),))
        return NewItem(prompt=prompt, answers=(f"1 + 1 = 2\n2 + {number} = 9\nso it is 9",), sources=("m",))
    return new_item(number, answers={"none": 1, "pair": 2, "rank": len(RANKS)}[sheet.compare])


def flag_of(sheet: Sheet, place: int) -> int:
    """The last flag of the first answer, the first one of the second, and so on."""
    return (place - 1) % len(sheet.flags)


def meant(sheet: Sheet, answers: int) -> dict[str, Any]:
    """What is said of an item, its answers counted as they stand on the screen."""
    said: dict[str, Any] = {}
    if sheet.compare == "pair":
        said |= {"verdict": "prefer", "preferred": 1, "strength": sheet.strength}
    if sheet.compare == "rank":
        said["ranks"] = list(RANKS)
    if sheet.criteria:
        said["ratings"] = [
            {one.key: one.low + (place + i) % (one.high - one.low + 1) for i, one in enumerate(sheet.criteria)}
            for place in range(answers)
        ]
    if sheet.flags:
        said["flags"] = [[sheet.flags[flag_of(sheet, place)].key] for place in range(answers)]
    if sheet.steps:
        said["steps"] = list(STEPS)
    if sheet.edit != "off":
        said |= {"edited": EDITED, "edited_from": answers - 1}
    if sheet.reason == "required":
        said["reason"] = "because"
    return said


def stored(value: dict[str, Any], shown: tuple[int, ...]) -> dict[str, Any]:
    """A stored judgement with its answers counted as they stood on the screen."""
    turned = {key: [one[place] for place in shown] if key in LISTS else one for key, one in value.items()}
    return turned | {key: shown.index(turned[key]) for key in ("preferred", "edited_from") if key in turned}


LISTS = ("ranks", "ratings", "flags")


def point(page: Any, sheet: Sheet, said: dict[str, Any]) -> None:
    """By mouse, or by finger."""
    for place, answer in enumerate(page.locator(".answer").all()):
        for i, one in enumerate(sheet.criteria):
            answer.locator(".criterion").nth(i).locator("button").nth(said["ratings"][place][one.key] - one.low).click()
        if sheet.flags:
            answer.locator(".flags button").nth(flag_of(sheet, place)).click()
    for i, label in enumerate(said.get("steps", ())):
        if label:
            page.locator(".step").nth(i).get_by_role("button", name=f"is {label}").click()
    for letter, rank in zip("ABCD", said.get("ranks", ()), strict=False):
        if rank is not None:
            page.click(f".chip:text-is('{letter}')")
            page.click(f".tier[data-level='{rank}'] > span")
    if sheet.compare == "pair":
        page.locator(".scale button").last.click()
    if sheet.edit != "off":
        page.click("text=Edit B")
        page.fill("[aria-label='The answer as it should be']", EDITED)
    if sheet.reason == "required":
        page.fill(".reason", "because")
    readable(page)
    page.click(".send")


def type_it(page: Any, sheet: Sheet, said: dict[str, Any]) -> None:
    """By keys alone."""
    press = page.keyboard.press
    answers = page.locator(".answer").count()
    for ratings in said.get("ratings", ()):
        for one in sheet.criteria:
            press(str(ratings[one.key] - one.low + 1))
    for label in said.get("steps", ()):
        if label:
            press(str(("right", "neutral", "wrong").index(label) + 1))
    for rank in said.get("ranks", ()):
        if rank is not None:
            press(str(rank + 1))
    if sheet.compare == "pair":
        press(str(page.locator(".scale button").count()))
    for place in range(answers if sheet.flags else 0):
        for first in range(0, len(sheet.flags), 10):
            press("f")
            if first <= flag_of(sheet, place) < first + 10:
                press(str((flag_of(sheet, place) - first + 1) % 10))
    if sheet.edit != "off":
        tab_to(page, "Edit B")
        press("Enter")
        press("Control+A")
        page.keyboard.type(EDITED)
        press("Escape")
    if sheet.reason == "required":
        press("e")
        page.keyboard.type("because")
        press("Escape")
    readable(page)
    press("Enter")


@pytest.mark.parametrize("key", [key for key, preset in PRESETS.items() if preset.sheet.chat == "off"])
def test_an_answer_is_stored_as_it_was_meant(seen: Seen, key: str) -> None:
    page, sheet = seen.page, PRESETS[key].sheet
    project = seen.place.add_project("sheet", sheet, items=0)
    import_items(seen.place.store, project, [item_for(sheet, i) for i in range(len(WAYS))], Imported())
    seen.open(project)
    for number, way in enumerate(WAYS):
        page.set_viewport_size(PHONE if way == "phone" else DESK)
        said = meant(sheet, page.locator(".answer").count())
        fill: Callable[..., None] = type_it if way == "keys" else point
        seen.next(lambda fill=fill, said=said: fill(page, sheet, said))
        found = seen.judgements(project, number + 1)
        assert stored(found[-1].value, found[-1].shown) == said, way


@pytest.mark.parametrize("key", ["chat", "red_team"])
def test_a_chat_is_stored_as_it_was_meant(talking: Seen, key: str) -> None:
    page, sheet = talking.page, PRESETS[key].sheet
    project = talking.place.add_project("talk", sheet, items=0)
    page.goto(f"{talking.url}/projects/{project.id}/chat")
    asked = ["How far did you get?"] if key == "red_team" else [one.label for one in sheet.conversation]
    for number, way in enumerate(WAYS):
        page.set_viewport_size(PHONE if way == "phone" else DESK)
        page.wait_for_selector(TOPIC)

        def act(name: str, way: str = way) -> None:
            if way == "keys":
                tab_to(page, name)
                page.keyboard.press("Enter")
            else:
                page.get_by_role("button", name=name).click()

        act("Begin")
        page.wait_for_selector(SPEECH)
        page.fill(SPEECH, "hello")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        if way == "keys":
            page.keyboard.press("9")
            page.keyboard.press("Enter")
        else:
            act("B is far better")
            readable(page)
            page.click(".send")
        page.wait_for_selector(SPEECH)
        act("End the conversation")
        for label in asked:
            act(f"{label} of the conversation: 4")
        readable(page)
        act("End it")
        page.wait_for_selector("dialog", state="detached")
        found = talking.judgements(project, number + 1)
        assert stored(found[-1].value, found[-1].shown) == {"verdict": "prefer", "preferred": 1, "strength": 4}, way
