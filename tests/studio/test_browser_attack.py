"""Text that attacks wherever somebody may write, seen by whoever reads it: nothing runs, nothing is loaded."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import update
from tests.feedback.conftest import plain
from tests.studio.browser import Seen, needs_chromium
from tests.studio.conftest import Place

from heedful.feedback.accounts import create_token
from heedful.feedback.prepared import insert_one
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project, change_project, rater_for
from heedful.feedback.tables import account, conversation
from heedful.feedback.tables import project as projects

pytestmark = needs_chromium
OWNED = "window.owned=1"
NAME = f"\"><img src=x onerror={OWNED}>'><script>{OWNED}</script>"  # short enough for a name
TEXT = "\n\n".join(
    [
        f"{NAME}{{{{7*7}}}}${{{OWNED}}}",
        f"<svg onload={OWNED}><iframe srcdoc='<script>parent.{OWNED}</script>'></iframe>",
        f"[x](javascript:{OWNED}) ![x](//evil.example/x.png) <https://evil.example/{OWNED}>",
        f"</textarea></title></style></script><script>{OWNED}</script>",
        "<base href=//evil.example><meta http-equiv=refresh content=0;//evil.example>",
        f"<form action=javascript:{OWNED}><input autofocus onfocus={OWNED}><button>go</button></form>",
    ]
)
HELD = """() => {
  const every = (which) => [...document.querySelectorAll(which)];
  const own = location.origin + "/static/js/";
  const known = /^(\\/|#|https:\\/\\/evil\\.example\\/)/; // a link that the text may hold, and nobody follows
  return {
    owned: window.owned ?? null,
    inline: [...document.scripts].filter((one) => !one.src.startsWith(own)).length,
    strange: every("main img, svg:not(.plot), iframe, base, meta[http-equiv], object, embed, style").length,
    handlers: every("*").filter((one) => [...one.attributes].some((a) => a.name.startsWith("on"))).length,
    links: every("[href], [action], [src]").map((one) => ["href", "action", "src"].map((name) => one.getAttribute(name))
      .find((to) => to !== null)).filter((to) => !known.test(to)),
  };
}"""
NOTHING = {"owned": None, "inline": 0, "strange": 0, "handlers": 0, "links": []}


def attacked(place: Place) -> tuple[Project, Project]:
    """A project and a chat in which everything that can be written is an attack."""
    owner, client = place.client("owner"), place.client("rater")
    project = place.add_project(
        NAME, PRESETS["edit"].sheet.model_copy(update={"reason": "optional"}), items=0, members=("rater", "reviewer")
    )
    talk = place.add_project("talk", PRESETS["chat"].sheet, items=0, members=("rater", "reviewer"))
    with place.store.write() as connection:
        connection.execute(update(account).values(name=NAME[:80]))
        change_project(connection, project.id, about=TEXT, guidelines=TEXT, warning=TEXT, queue=plain())
        connection.execute(update(projects).where(projects.c.id == talk.id).values(about=TEXT, warning=TEXT))
        for role in ("owner", "reviewer", "rater"):
            create_token(connection, place.accounts[role], NAME[:80], ["read"], 30, time.time())
        rater = rater_for(connection, place.accounts["rater"])
        told = {"project_id": talk.id, "models": [NAME, NAME], "goal": TEXT[:2000], "success": 0, "comment": TEXT}
        insert_one(connection, conversation, **told, ratings={}, open=True, created_at=time.time(), rater_id=rater)
    row = {
        "response_a": f"I am Claude. {TEXT}",
        "response_b": TEXT,
        "source_a": NAME,
        "source_b": TEXT[:180],
        "lang": NAME,
        "stratum": NAME,
        "family": NAME,
        "warning": TEXT,
    }
    rows = [{"prompt": f"{number} {TEXT}", **row} for number in range(4)]
    body = "".join(json.dumps(one) + "\n" for one in rows)
    answer = owner.post(f"/api/projects/{project.id}/import", params={"name": f"{NAME[:60]}.jsonl"}, content=body)
    assert answer.json()["items"] == 4, answer.text

    path = f"/api/projects/{project.id}"
    for number in range(3):
        task = client.post(f"{path}/desk").json()["tasks"][0]
        at = f"/api/assignments/{task['assignment']}"
        if number == 2:
            assert client.post(f"{at}/report", json={"text": TEXT}).status_code == 200
            continue
        value = {
            "verdict": "prefer",
            "preferred": 0,
            "strength": 1,
            "reason": TEXT,
            "edited": TEXT + NAME,
            "edited_from": 0,
        }
        said = client.post(f"{at}/judgements", json={"client_uuid": str(uuid.uuid4()), "value": value})
        assert said.status_code == 200, said.text
        assert client.post(f"{at}/appeal", json={"text": TEXT}).status_code == 200
    for one in owner.get(f"{path}/machine-items?judge=j").json():
        for preferred, judge in ((0, NAME[:80]), (1, "j")):
            value = {"verdict": "prefer", "preferred": preferred, "strength": 1, "reason": TEXT}
            label = {"item": one["item"], "client_uuid": str(uuid.uuid4()), "value": value}
            owner.post(f"{path}/machine-labels", json={"judge": judge, "labels": [label]})
    appeals = owner.get(f"{path}/appeals").json()["waiting"]
    settled = owner.post(f"{path}/appeals/{appeals[0]['id']}", json={"outcome": "wrong", "answer": TEXT})
    assert settled.status_code == 200, settled.text
    return project, talk


@pytest.mark.parametrize("role", ["owner", "reviewer", "rater"])
def test_nothing_that_somebody_wrote_runs(seen: Seen, role: Any) -> None:
    place, page = seen.place, seen.page
    project, talk = attacked(place)
    seen.sign_in(role)
    base = f"/projects/{project.id}"

    def holds(where: str) -> None:
        page.wait_for_load_state("networkidle")
        assert page.evaluate(HELD) == NOTHING, where

    def opened(path: str) -> None:
        page.goto(seen.url + path)
        holds(path)
        assert "onerror" in page.locator("main").inner_text(), path  # it is there to be read

    for path in ("/", "/account"):
        opened(path)
    opened(f"{base}/label")
    page.click("text=Open it")
    page.wait_for_selector(".answer")
    for key in ("i", "Escape", "w", "w", "1"):
        page.keyboard.press(key)
        holds(f"the desk, after {key}")
    page.click("text=Edit A")
    page.keyboard.type("<b>")
    page.wait_for_selector(".diff ins")
    holds("an edit")
    if role == "rater":
        page.wait_for_selector(".settled")
        opened("/my-work")
        opened(f"/projects/{talk.id}/chat")
    else:
        opened(base)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.click("text=Count it")
        holds("the dashboard")
        page.goto(f"{seen.url}{base}/disputes")
        page.click("text=Open it")
        page.click(".opinions summary")
        page.wait_for_selector(".opinions .diff")
        holds("a second look")
    if role == "owner":
        for path in ("/team", "/projects/new"):
            page.goto(seen.url + path)
            holds(path)
        page.goto(seen.url + base)
        bad = f'{{"prompt": "x", "{NAME[1:]}": 1, "response_a": ""}}\n{NAME}\n'
        page.set_input_files("[name=file]", {"name": f"{NAME[:60]}.jsonl", "mimeType": "x", "buffer": bad.encode()})
        page.get_by_role("button", name="Import", exact=True).click()
        page.wait_for_selector(".note li")
        assert "onerror" in page.locator(".note").last.inner_text()
        holds("import faults")
