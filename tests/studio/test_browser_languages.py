"""The pages in other languages, in a real browser: German on a phone, and an owner's own from right to left."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.studio.browser import PHONE, Seen, looking_at, needs_chromium
from tests.studio.conftest import Place
from tests.studio.test_appeals import checks
from tests.studio.test_browser_care import readable, warned
from tests.studio.test_browser_chat import tab_to
from tests.studio.test_disputes import disagree

from heedful.feedback.presets import PRESETS
from heedful.feedback.sheet import Criterion, Flag, Sheet
from heedful.studio.languages import PLACEHOLDER, shipped
from heedful.studio.settings import Model

pytestmark = needs_chromium
ENGLISH = shipped()["en"].words
HEBREW = str.maketrans({chr(97 + i): chr(0x5D0 + i % 22) for i in range(26)})
# What can be read on a page, but for texts of people, names and keys.
LETTERS = """() => {
  const of = ".brand, .who, .text, .raw, .diff, code, kbd, [lang]:not(html), a[href^='/api']";
  const found = [];
  for (const e of document.body.querySelectorAll("*")) {
    if (e.closest(of)) continue;
    for (const n of e.childNodes) if (n.nodeType === 3) found.push(n.textContent);
    for (const name of ["aria-label", "placeholder", "title", "alt"]) found.push(e.getAttribute(name) || "");
  }
  return found.filter((said) => /[a-z]{2}|[{}]|undefined/i.test(said));
}"""


def test_a_german_rater_on_a_phone_by_keyboard(place: Place, chromium: Any) -> None:
    with looking_at(place, chromium, locale="de-DE") as seen:
        page = seen.page
        page.set_viewport_size(PHONE)
        page.goto(seen.url)
        page.wait_for_selector("article >> text=Bewerten")
        readable(page)
        tab_to(page, "Bewerten")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        assert page.evaluate("document.documentElement.lang") == "de"
        readable(page)
        page.keyboard.press("1")
        assert page.locator(".scale [aria-pressed=true]").inner_text().startswith("A ist viel besser")
        page.keyboard.press("e")
        page.keyboard.type("sie stimmt")
        seen.next(lambda: page.keyboard.press("Control+Enter"))
        [judgement] = seen.judgements(place.project, 1)
        assert (judgement.value["strength"], judgement.value["reason"]) == (3, "sie stimmt")
        page.wait_for_selector("#saved:text-is('Gespeichert')")
        page.wait_for_selector(".desk-bar >> text=heute 1")
        page.keyboard.press("?")
        page.wait_for_selector("dialog >> text=Beide sind gleich gut")
        readable(page)
        page.goto(f"{seen.url}/my-work")
        page.wait_for_selector("td:text('1, davon 1 in den letzten sieben Tagen')")
        readable(page)


def test_german_fits_every_sheet_on_a_phone(place: Place, chromium: Any) -> None:
    presets = ("instructgpt", "safety", "steps", "edit")
    made = [place.add_project(name, PRESETS[name].sheet, items=1, answers=1 + (name != "steps")) for name in presets]
    with looking_at(place, chromium, locale="de-DE") as seen:
        seen.page.set_viewport_size(PHONE)
        for project in made:
            seen.open(project)
            readable(seen.page)


def test_a_reader_chooses_the_language(place: Place, chromium: Any) -> None:
    with looking_at(place, chromium, locale="de-DE") as seen:
        page = seen.page
        page.goto(f"{seen.url}/account")
        page.wait_for_selector("h1:text('Ihr Konto')")
        readable(page)
        page.select_option("#language", "en")
        page.wait_for_selector("h1:text('Your account')")
        assert page.input_value("#language") == "en"
        page.goto(f"{seen.url}/login")
        page.wait_for_selector("h1:text('Projects')")
        page.goto(f"{seen.url}/account")
        page.select_option("#language", "")
        page.wait_for_selector("h1:text('Ihr Konto')")
        assert page.context.cookies() == [one for one in page.context.cookies() if one["name"] == "heedful_session"]


def hebrew(folder: Path) -> Path:
    """An owner's language in which each letter is one from right to left: what is left in others was not asked for."""

    def turned(said: str) -> str:
        return "".join(
            part if PLACEHOLDER.fullmatch(part) else part.lower().translate(HEBREW)
            for part in re.split(r"(\{[a-z]+\})", said)
        )

    words = {
        key: turned(said) if isinstance(said, str) else {count: turned(form) for count, form in said.items()}
        for key, said in ENGLISH.items()
    }
    folder.mkdir()
    (folder / "he.json").write_text(json.dumps(words), encoding="utf-8")
    return folder


def test_an_owners_language_from_right_to_left_stands_in_every_place(
    place: Place, chromium: Any, tmp_path: Path
) -> None:
    everything = Sheet(
        compare="rank", criteria=(Criterion(key="k", label="1", high=3),), presort="k",
        flags=(Flag(key="f", label="2"),), edit="optional",
    )  # fmt: skip
    ranked = place.add_project("3", everything, items=1, answers=3)
    steps = place.add_project("4", PRESETS["steps"].sheet, items=1, answers=1)
    talk = place.add_project("5", PRESETS["red_team"].sheet, items=0)
    trained = checks(place, "training")
    covered = warned(place, tmp_path, ["yes"])
    disputed = place.add_project("6", PRESETS["pair"].sheet, items=1, members=("rater", "reviewer"))
    disagree(place, disputed)
    invited = place.client("owner").post("/api/invitations", json={"role": "rater"}).json()["link"].rsplit("/", 1)[1]
    with looking_at(place, chromium, locale="he-IL", words=hebrew(tmp_path / "words")) as seen:
        page = seen.page

        def look(path: str, sign: str) -> None:
            page.goto(seen.url + path)
            page.wait_for_selector(sign)
            clean(seen)

        label = "/projects/{}/label".format
        look(label(place.project.id), ".answer")
        readable(page)
        scale = [page.locator(".scale button").nth(i).bounding_box()["x"] for i in (0, 3, 6)]
        assert scale == sorted(scale, reverse=True)  # the first stands at the right
        page.keyboard.press("ArrowLeft")  # from the middle towards the last
        assert page.locator(".scale [aria-pressed=true]").bounding_box()["x"] < scale[1]
        page.keyboard.press("r")
        page.wait_for_selector("dialog")
        clean(seen)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        clean(seen)
        look(label(ranked.id), ".answer")
        for key in "1123":
            page.keyboard.press(key)
        clean(seen)
        readable(page)
        look(label(steps.id), ".answer")
        look(label(covered.id), ".cover")
        look(label(trained.id), ".answer")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_selector(".feedback")
        clean(seen)
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-finished]")
        clean(seen)
        look("/my-work", "table")
        look(f"/projects/{talk.id}/chat", "textarea")
        look("/account", "#rest")
        readable(page)
        look("/", "article")
        seen.sign_in("reviewer")
        look(f"/projects/{disputed.id}/disputes", ".opinions")
        page.context.clear_cookies()
        look("/login", "#sign-in")
        look(f"/join/{invited}", "#join:not([hidden])")


def test_a_chat_is_held_in_an_owners_language(
    place: Place, chromium: Any, models: tuple[Model, ...], tmp_path: Path
) -> None:
    talk = place.add_project("5", PRESETS["red_team"].sheet, items=0)
    with looking_at(place, chromium, models, locale="he-IL", words=hebrew(tmp_path / "words")) as seen:
        page = seen.page
        page.goto(f"{seen.url}/projects/{talk.id}/chat")
        page.fill("textarea", "7")
        page.click("button.primary")
        page.fill(".reason", "2 + 2?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        clean(seen)
        readable(page)
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn.assistant")
        clean(seen)
        page.click(".panel button:not(.primary)")  # the end
        page.wait_for_selector("dialog")
        clean(seen)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")  # out of the field
        page.keyboard.press("u")
        page.wait_for_selector(".badge")
        clean(seen)
        page.keyboard.press("r")
        page.wait_for_selector("dialog")
        clean(seen)


DATA = re.compile(r"rater · [^a-z]+|checks|hard|it is true|– “because”|Esc|Enter")  # what people wrote, and keys


def clean(seen: Seen) -> None:
    """Nothing on the page is in another language than the owner's."""
    assert [said for said in seen.page.evaluate(LETTERS) if not DATA.fullmatch(said.strip())] == []
