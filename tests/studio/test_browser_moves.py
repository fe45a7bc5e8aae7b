"""Any moves on a sheet, by mouse, by key, by dragging, with reloads between: what the screen shows last is stored."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.feedback.conftest import new_item
from tests.studio.browser import PHONE, Seen, needs_chromium
from tests.studio.test_browser_sheets import DESK, stored

import heedful.studio
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Sheet

pytestmark = needs_chromium
ITEMS, MOVES = 3, 25
ANSWERS = {"pair": 2, "criteria": 2, "rank": 4, "instructgpt": 3, "oasst": 1}
KEYS = [*"1234567890", *"tgbcfw", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Backspace"]
SETS = ".answer button, .scale button, .panel [role=group] button, .tier > span"
WORDS = json.loads((Path(heedful.studio.__file__).parent / "words" / "en.json").read_text())
SCREEN = """() => {
  const on = (e) => e.getAttribute("aria-pressed") === "true";
  const every = (where, which) => [...where.querySelectorAll(which)];
  const answers = every(document, ".answer");
  const chips = every(document, ".chip").sort((a, b) => a.textContent.localeCompare(b.textContent));
  return {
    scale: every(document, ".scale button").findIndex(on),
    said: every(document, ".panel .line[role=group] button").filter(on).map((one) => one.firstChild.textContent),
    levels: chips.map((one) => one.closest(".tier").dataset.level),
    ratings: answers.map((one) => every(one, ".criterion").map((each) => every(each, "button").findIndex(on))),
    flags: answers.map((one) => every(one, ".flags button").map(on)),
    reason: document.querySelector(".reason")?.value ?? "",
  };
}"""


def shown_on(screen: dict[str, Any], sheet: Sheet) -> dict[str, Any]:
    """What the screen says that the rater says, in the form of a judgement."""
    verdicts = {WORDS[f"sheet.{name}"]: name for name in ("both_good", "both_bad", "cant_judge")}
    said: dict[str, Any] = {"reason": screen["reason"]} if screen["reason"] else {}
    if screen["said"]:
        assert screen["scale"] < 0 and len(screen["said"]) == 1
        said["verdict"] = verdicts[screen["said"][0]]
        if said["verdict"] == "cant_judge":
            return said
    if (mark := screen["scale"]) >= 0:
        middle = sheet.strength + ("tie" in sheet.ties) - 1  # the last mark that is not B's
        if mark < sheet.strength:
            said |= {"verdict": "prefer", "preferred": 0, "strength": sheet.strength - mark}
        else:
            b = {"verdict": "prefer", "preferred": 1, "strength": mark - middle}
            said |= b if mark > middle else {"verdict": "tie"}
    if sheet.compare == "rank":
        levels = sorted({int(level) for level in screen["levels"] if level})
        said["ranks"] = [levels.index(int(level)) if level else None for level in screen["levels"]]
    if sheet.criteria:
        said["ratings"] = [
            {one.key: one.low + point for one, point in zip(sheet.criteria, points, strict=True)}
            for points in screen["ratings"]
        ]
    if any(map(any, screen["flags"])):
        said["flags"] = [
            sorted(flag.key for flag, on in zip(sheet.flags, row, strict=True) if on) for row in screen["flags"]
        ]
    return said


def drag(page: Any, rng: random.Random) -> None:
    chip = rng.choice(page.locator(".chip").all())
    chip.scroll_into_view_if_needed()
    begin, end = chip.bounding_box(), rng.choice(page.locator(".tier").all()).bounding_box()
    page.mouse.move(begin["x"] + begin["width"] / 2, begin["y"] + begin["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=3)
    page.mouse.up()


def move(page: Any, sheet: Sheet, rng: random.Random) -> None:
    match rng.randrange(20):
        case 0:
            page.reload()
            page.wait_for_selector(".answer")
        case 1 if sheet.reason != "off":
            page.fill(".reason", rng.choice(["", "because", "it is so"]))
            page.keyboard.press("Escape")
        case 2 | 3 | 4 if sheet.compare == "rank":
            drag(page, rng)
        case 5 if sheet.compare == "pair":
            rng.choice(page.locator(".answer h2").all()).dblclick()
        case 6 | 7 | 8 | 9 | 10 | 11:
            rng.choice(page.locator(SETS).all()).click()
        case _:
            page.keyboard.press(rng.choice(KEYS))


def complete(page: Any, sheet: Sheet) -> None:
    """What is still missing."""
    screen = page.evaluate(SCREEN)
    for answer, points in zip(page.locator(".answer").all(), screen["ratings"], strict=True):
        for criterion, point in zip(answer.locator(".criterion").all(), points, strict=True):
            if point < 0:
                criterion.locator("button").first.click()
    if sheet.compare == "rank" and sum(level != "" for level in screen["levels"]) < 2:
        for letter, level in (("A", 1), ("B", 0)):
            page.click(f".chip:text-is('{letter}')")
            page.click(f".tier[data-level='{level}'] > span")
    if sheet.compare == "pair" and screen["scale"] < 0 and not screen["said"]:
        page.locator(".scale button").first.click()


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("key", ANSWERS)
def test_what_the_screen_shows_last_is_stored(seen: Seen, key: str, size: str) -> None:
    page, sheet, rng = seen.page, PRESETS[key].sheet, random.Random(f"{key} {size}")
    page.set_viewport_size(PHONE if size == "phone" else DESK)
    project = seen.place.add_project("any moves", sheet, items=0)
    rows = [new_item(i, answers=ANSWERS[key]) for i in range(ITEMS)]
    import_items(seen.place.store, project, rows, Imported())
    seen.open(project)
    for number in range(ITEMS):
        for _ in range(MOVES):
            move(page, sheet, rng)
        complete(page, sheet)
        said = shown_on(page.evaluate(SCREEN), sheet)
        seen.next(lambda: page.click(".send"))
        label = seen.judgements(project, number + 1)[-1]
        found = stored(label.value, label.shown)
        if "flags" in found:
            found["flags"] = [sorted(row) for row in found["flags"]]
        assert found == said
