"""The owner's pages in a real browser: alarms, leaks, webhooks, skills, and forgetting somebody."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from tests.feedback.conftest import new_item, say
from tests.studio.browser import PHONE, Seen, needs_chromium, readable

from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import QueuePolicy, known_project, rater_for, read_project
from heedful.feedback.queue import hold, order_of
from heedful.feedback.tables import account, item, webhook
from heedful.records import Prompt

pytestmark = needs_chromium


def test_the_dashboard_tells_and_takes_what_the_owner_needs(seen: Seen) -> None:
    project, page = seen.place.project, seen.page
    leaking = replace(new_item(70, skill="python"), answers=("I am Claude.", "No name."))
    import_items(seen.place.store, project, [leaking], Imported())
    seen.sign_in("owner")
    page.goto(f"{seen.url}/projects/{project.id}")
    page.get_by_text("Nobody has answered probes or hidden checks yet").wait_for()
    page.get_by_text("1 of 14 answers do").wait_for()
    page.get_by_text("All of them", exact=True).click()
    page.get_by_role("cell", name="I am Claude").wait_for()
    page.get_by_text("Nobody here carries the skill for some items: python (1)").wait_for()
    page.get_by_label("URL").fill("https://93.184.215.14/hook")
    page.get_by_role("button", name="Add", exact=True).last.click()
    page.get_by_text("whsec_").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("cell", name="https://93.184.215.14/hook").wait_for()
    with seen.place.store.read() as connection:
        assert len(connection.execute(select(webhook.c.events)).scalar_one()) == 4
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("cell", name="https://93.184.215.14/hook").wait_for(state="detached")


def test_skills_are_given_and_somebody_is_forgotten(seen: Seen) -> None:
    page = seen.page
    seen.sign_in("owner")
    page.goto(f"{seen.url}/team")
    field = page.get_by_label("Skills of rater, with commas between")
    field.fill("Python, french")
    field.press("Tab")
    page.wait_for_function(
        "() => [...document.querySelectorAll('input')].some((one) => one.value === 'french, python')"
    )
    page.get_by_role("row", name="rater rater").get_by_role("button", name="Erase").click()
    page.get_by_role("button", name="Forget, blank their words").click()
    page.get_by_text("0 reasons and notes stay").wait_for()
    with seen.place.store.read() as connection:
        assert "rater" not in set(connection.execute(select(account.c.login)).scalars())


def inside(page: Any) -> None:
    """No table leaves its card, or has to be scrolled sideways."""
    page.locator(".stacking td").first.wait_for()
    wide = "() => [...document.querySelectorAll('.stacking td *, .stacking td')].filter((one) => "
    right = "one.closest('.card').getBoundingClientRect().right"
    assert page.evaluate(f"{wide} one.getBoundingClientRect().right > {right}).length") == 0
    scrolls = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth)"
    assert page.evaluate(f"{scrolls}.map((one) => one.textContent)") == []
    readable(page)


def test_on_a_phone_tables_stand_inside_their_cards_and_links_are_copied(seen: Seen) -> None:
    page = seen.page
    page.set_viewport_size(PHONE)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.open(seen.place.project)
    page.click(".scale button >> nth=0")
    page.click(".send")
    seen.judgements(seen.place.project, 1)
    seen.sign_in("owner")

    page.goto(f"{seen.url}/team")
    inside(page)
    assert page.locator(".stacking td[data-column=login]").count() == 5
    page.get_by_role("button", name="Make a link").click()
    link = page.locator(".secret").inner_text()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == link and "/join/" in link
    page.goto(f"{seen.url}/projects/{seen.place.project.id}")
    inside(page)
    page.goto(f"{seen.url}/account")
    page.locator("#new-token [name=name]").fill("script of an owner")
    page.locator("#new-token button").click()
    page.get_by_role("button", name="Close").click()
    inside(page)


def test_a_report_is_read_and_its_item_taken_out(seen: Seen) -> None:
    project, page = seen.place.project, seen.page
    seen.open(project)

    def report() -> None:
        page.keyboard.press("r")
        page.get_by_role("textbox", name="What is wrong").fill("<b>both</b> are empty")
        page.get_by_role("button", name="Report it").click()

    seen.next(report)
    seen.sign_in("reviewer")
    page.wait_for_timeout(300)
    page.goto(f"{seen.url}/projects/{project.id}")
    page.get_by_text("What raters reported (1)").wait_for()
    page.get_by_text("“<b>both</b> are empty”").wait_for()
    page.get_by_text("The item", exact=True).click()
    page.get_by_text("question").first.wait_for()
    page.get_by_role("button", name="Take the item out").click()
    page.get_by_text("What raters reported").wait_for(state="detached")
    with seen.place.store.read() as connection:
        assert connection.execute(select(item.c.dispute).where(item.c.dispute != "")).scalars().all() == ["out"]


def test_the_dashboard_says_who_can_be_trusted_with_what_and_every_setting_can_be_set(seen: Seen) -> None:
    place, page = seen.place, seen.page
    project = place.add_project("trust", PRESETS["pair"].sheet, items=0)
    families = ["sums"] * 24 + ["jokes"] * 4
    rows = [new_item(i) for i in range(len(families))]
    asked = [
        Prompt(id=one.prompt.id, messages=one.prompt.messages, meta={"family": families[i]})
        for i, one in enumerate(rows)
    ]
    import_items(place.store, project, [replace(one, prompt=asked[i]) for i, one in enumerate(rows)], Imported())
    with place.store.write() as connection:
        raters = [rater_for(connection, place.accounts[role]) for role in ("rater", "reviewer")]
        for row in connection.execute(select(item).where(item.c.project_id == project.id)).all():
            for slot, who in enumerate(raters):
                key = hold(connection, project, row.id, 2, who, "main", slot, 0.0, 9.0)
                first = order_of(project.seed, row.id, 2, slot).index(0)
                say(connection, project, key, who, {"verdict": "prefer", "preferred": first, "strength": 1})
    seen.sign_in("owner")
    page.goto(f"{seen.url}/projects/{project.id}")
    page.get_by_role("button", name="Count it").click()
    page.get_by_text("Who can be trusted?").wait_for()
    row = page.get_by_role(
        "row", name=re.compile("^reviewer \\(rater-.* not enough data \\(4\\) 100 % \\[86, 100\\] of 24")
    )
    row.wait_for()
    page.reload()
    page.get_by_role("button", name="Only items in random places").click()
    page.get_by_text("Of items in random places alone.").wait_for()
    row.wait_for()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Share of new items that several see").fill("0.35")
    page.get_by_label("Hours in which an answer may be changed").fill("1.5")
    page.get_by_role("button", name="Keep these").click()
    page.get_by_text("Kept.").wait_for()
    with place.store.read() as connection:
        queue = read_project(connection, project.id).queue
    assert queue == project.queue.model_copy(update={"shared": 0.35, "revise_hours": 1.5})
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="Count it").click()
    page.get_by_text("Raters two by two").click()
    inside(page)


def test_people_see_of_a_machines_work_what_its_agreement_asks_for(seen: Seen) -> None:
    """Chosen for a new project, kept when other settings are changed, and a share again; what is left empty stays."""
    page = seen.page
    seen.sign_in("owner")

    def queue() -> QueuePolicy:
        with seen.place.store.read() as connection:
            return known_project(connection, "audited", "").queue

    def keep() -> None:
        page.get_by_role("button", name="Keep these").click()
        page.get_by_text("Kept.").wait_for()
        page.locator("#toast").evaluate("one => { one.textContent = ''; }")

    page.goto(f"{seen.url}/projects/new")
    page.fill("[name=name]", "audited")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("What people see of machines' items").select_option("by agreement")
    page.get_by_label("Share of hidden checks").fill("")
    page.click("text=Make the project")
    page.wait_for_selector(".figures")
    assert queue() == QueuePolicy(audit="by agreement")
    page.get_by_label("Minutes an item is held").fill("20")
    keep()
    assert queue() == QueuePolicy(audit="by agreement", lease_minutes=20)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("What people see of machines' items").select_option("share")
    page.get_by_label("Share of machine-labelled items that people see").fill("0.25")
    page.get_by_label("Minutes an item is held").fill("")
    keep()
    assert queue() == QueuePolicy(audit=0.25, lease_minutes=20)
