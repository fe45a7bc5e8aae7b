"""What stands before every route: host names, other sites' pages, size, headers; and how people sign in."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.studio.conftest import PASSWORD, Place

from heedful.errors import InputError
from heedful.feedback import accounts
from heedful.feedback.tables import account, link, session, token
from heedful.studio.app import create_app
from heedful.studio.server import first_owner_link
from heedful.studio.settings import Settings, read_models

SIGN_IN = {"login": "rater", "password": PASSWORD}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "169.254.169.254", "", "localhost.evil.com:8100", "[::1", "[x]"]
)
def test_a_foreign_host_name_is_refused(place: Place, host: str) -> None:
    answer = place.client().get("/api/health", headers={"host": host})
    assert answer.status_code == 400 and "--public-url" in answer.json()["error"]


def test_a_studio_in_a_local_network_is_told_the_address_that_works(place: Place) -> None:
    answer = place.client().get("/api/health", headers={"host": "192.168.1.5:8100"})
    assert "--public-url http://192.168.1.5:8100 " in answer.json()["error"] and "proxy" in answer.json()["error"]
    assert "192.168.1.5" in Settings(host="0.0.0.0", public_url="http://192.168.1.5:8100").hosts


def test_an_origin_that_cannot_be_read_is_foreign(place: Place) -> None:
    client = place.client("rater")
    del client.headers["sec-fetch-site"]
    answer = client.post(f"/api/projects/{place.project.id}/desk", json={}, headers={"origin": "http://[::1"})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8100", "localhost:9", "[::1]:8100"])
def test_our_own_names_are_answered(place: Place, host: str) -> None:
    assert place.client().get("/api/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://127.0.0.1:8100"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:8100", "sec-fetch-site": "cross-site"}, False),
        ({}, False),  # a cookie with no word of where it comes from
    ],
)
def test_another_sites_page_can_not_act(place: Place, headers: dict[str, str], passes: bool) -> None:
    client = place.client("rater")
    del client.headers["sec-fetch-site"]
    answer = client.post(f"/api/projects/{place.project.id}/desk", json={}, headers=headers)
    assert answer.status_code == (200 if passes else 403)


def test_no_foreign_origin_is_ever_allowed_to_read(place: Place) -> None:
    answer = place.client("rater").get("/api/me", headers={"origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_carries_the_headers(place: Place) -> None:
    client = place.client("owner")
    for path in ("/", "/login", "/api/me", "/static/studio.css", "/nowhere", "/api/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert path.startswith("/static") or headers["cache-control"] == "no-store"


def test_pages_hold_no_inline_script_or_style() -> None:
    folder = Path(__file__).parents[2] / "src" / "heedful" / "studio"
    for path in (folder / "templates").glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|https?://", text), path
    for path in (folder / "static" / "js").glob("*.js"):
        forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
        assert not re.search(forbidden, path.read_text()), path


@pytest.mark.parametrize("told", [True, False])
def test_a_request_that_is_too_large_is_refused(place: Place, told: bool) -> None:
    body: Any = b"x" * 300_000 if told else iter([b"x" * 100_000] * 3)
    answer = place.client("rater").post("/api/session", content=body)
    assert answer.status_code == 413 and "larger" in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fcli.py", "/static/js/%00",
     "/api/runs/..%2f..%2fetc/report", "/api/runs/%2e%2e/report", "/api/runs/.hidden/report", "/join/../../etc/passwd"],
)  # fmt: skip
def test_no_path_leads_out(place: Place, path: str) -> None:
    (place.settings.runs / ".hidden").mkdir(parents=True)
    (place.settings.runs / ".hidden" / "report.html").write_text("hidden")
    answer = place.client("owner").get(path)
    assert answer.status_code in (400, 404), answer.status_code


def test_a_run_that_is_a_link_to_elsewhere_is_not_there(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "report.html").write_text("secret")
    place.settings.runs.mkdir()
    (place.settings.runs / "link").symlink_to(tmp_path / "elsewhere")
    assert place.client("owner").get("/api/runs/link/report").status_code == 404


# ── signing in ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_signing_in_and_out(place: Place) -> None:
    client = place.client()
    answer = client.post("/api/session", json=SIGN_IN)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and answer.json()["role"] == "rater"
    assert client.get("/api/me").json()["login"] == "rater"
    secret = client.cookies["heedful_session"]
    with place.store.read() as connection:
        stored = connection.execute(session.select()).all()
    assert all(secret not in str(row) for row in stored)
    client.delete("/api/session", headers={"sec-fetch-site": "same-origin"})
    client.cookies.set("heedful_session", secret)
    assert client.get("/api/me").status_code == 401


def test_wrong_names_and_wrong_passwords_are_told_alike_and_slowed_down(place: Place) -> None:
    client = place.client()
    said = [client.post("/api/session", json=SIGN_IN | {"password": "wrong"}) for _ in range(accounts.TRIES)]
    unknown = client.post("/api/session", json={"login": "nobody", "password": "wrong"})
    assert {answer.status_code for answer in said} == {401} == {unknown.status_code}
    assert said[0].json() == unknown.json()
    blocked = client.post("/api/session", json=SIGN_IN)
    assert blocked.status_code == 429 and "minutes" in blocked.json()["error"]
    assert client.post("/api/session", json=SIGN_IN | {"login": "manager"}).status_code == 200


def test_passwords_are_argon2id_and_no_secret_is_kept(place: Place) -> None:
    with place.store.write() as connection:
        secret = accounts.create_token(connection, place.accounts["owner"], "t", ["read"], 1, time.time())
        way_in = accounts.create_link(connection, "invite", time.time())
        rows = [str(row) for table in (account, token, link) for row in connection.execute(table.select())]
        stored = connection.execute(account.select().where(account.c.login == "rater")).one().password
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not any(word in row for row in rows for word in (PASSWORD, secret, way_in))


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "x" * 300, "newcomer-1"])
def test_poor_passwords_are_refused(place: Place, password: str) -> None:
    with pytest.raises(InputError, match="password"):
        accounts.check_password(password, "newcomer-1")


def test_nobody_owns_a_new_studio_and_the_link_works_once(tmp_path: Path) -> None:
    from heedful.feedback.store import open_store

    settings = Settings(database=str(tmp_path / "new.db"))
    store = open_store(settings.database)
    with store.read() as connection:
        assert accounts.owners(connection) == 0 and not accounts.all_accounts(connection)
    old, new = first_owner_link(settings, store), first_owner_link(settings, store)
    client = TestClient(create_app(settings, store), base_url=settings.url)
    joining = {"login": "ada", "name": "Ada", "password": PASSWORD}
    path = "/api" + new.removeprefix(settings.url).replace("/join/", "/links/")
    stale = "/api" + old.removeprefix(settings.url).replace("/join/", "/links/")
    assert client.post(stale, json=joining).status_code == 400  # a fresh link replaces the one before
    assert client.get(path).json() == {"kind": "owner", "role": "owner"}
    assert client.post(path, json=joining | {"password": "short"}).status_code == 400  # a fault uses nothing up
    assert client.post(path, json=joining).json()["role"] == "owner"
    again = client.post(path, json=joining | {"login": "eve"}, headers={"sec-fetch-site": "same-origin"})
    assert again.status_code == 400 and "used already" in again.json()["error"]
    assert first_owner_link(settings, store) == ""
    store.close()


def test_an_invitation_and_a_reset(place: Place) -> None:
    owner = place.client("owner")
    made = owner.post("/api/invitations", json={"role": "rater", "projects": [place.project.id]}).json()["link"]
    path = "/api/links/" + made.rsplit("/", 1)[1]
    newcomer = place.client()
    newcomer.post(path, json={"login": "New", "name": "New One", "password": PASSWORD})
    assert [one["id"] for one in newcomer.get("/api/projects").json()] == [place.project.id]
    number = newcomer.get("/api/me").json()["id"]
    same = {"sec-fetch-site": "same-origin"}
    token = newcomer.post("/api/tokens", json={"name": "t", "scopes": ["read"]}, headers=same).json()["token"]
    reset = owner.post(f"/api/accounts/{number}/reset").json()["link"]
    place.client().post("/api/links/" + reset.rsplit("/", 1)[1], json={"password": "another pass phrase"})
    assert newcomer.get("/api/me").status_code == 401  # a new password ends the sessions
    told = place.client(authorization=f"Bearer {token}").get("/api/me")
    assert told.status_code == 401 and "revoked" in told.json()["error"]  # and the tokens
    for password, status in ((PASSWORD, 401), ("another pass phrase", 200)):
        assert place.client().post("/api/session", json={"login": "new", "password": password}).status_code == status


def test_a_reset_link_ends_when_the_account_rises(place: Place) -> None:
    number = place.accounts["rater"]
    made = place.client("manager").post(f"/api/accounts/{number}/reset").json()["link"]
    owner = place.client("owner")
    owner.patch(f"/api/accounts/{number}", json={"role": "owner"})
    path = "/api/links/" + made.rsplit("/", 1)[1]
    answer = place.client().post(path, json={"password": "another pass phrase"})
    assert answer.status_code == 400 and "another role" in answer.json()["error"]
    assert place.client().post("/api/session", json=SIGN_IN).status_code == 200  # the old one still fits


def test_a_programs_token_is_renewed_alone(place: Place) -> None:
    owner = place.client("owner")
    made = owner.post("/api/services", json={"login": "judge"}).json()
    renewed = owner.post(f"/api/services/{made['id']}/token", json={"days": 7}).json()
    for given, status in ((made["token"], 401), (renewed["token"], 200)):
        assert place.client(authorization=f"Bearer {given}").get("/api/me").status_code == status
    refused = owner.post(f"/api/services/{place.accounts['rater']}/token", json={})
    assert refused.status_code == 422 and "no program" in refused.json()["error"]


def test_managers_make_no_managers_and_the_last_owner_stays(place: Place) -> None:
    manager, owner = place.client("manager"), place.client("owner")
    assert manager.post("/api/invitations", json={"role": "owner"}).status_code == 403
    assert manager.post(f"/api/accounts/{place.accounts['owner']}/reset").status_code == 403
    last = owner.patch(f"/api/accounts/{place.accounts['owner']}", json={"role": "rater"})
    assert last.status_code == 400 and "only owner" in last.json()["error"]
    assert owner.post(f"/api/accounts/{place.accounts['owner']}/erase", json={}).status_code == 400


@pytest.mark.parametrize("how", ["unknown", "revoked", "expired", "shut out", "no bearer"])
def test_a_worthless_token_says_why(place: Place, how: str) -> None:
    now = time.time()
    with place.store.write() as connection:
        secret = accounts.create_token(
            connection, place.accounts["manager"], "t", ["read"], 1, now - 2 * (how == "expired") * 86400
        )
        if how == "revoked":
            accounts.revoke_token(connection, place.accounts["manager"], 1)
        if how == "shut out":
            accounts.change_account(connection, place.accounts["manager"], None, False)
    sent = {"unknown": "Bearer heedful_x", "no bearer": secret}.get(how, f"Bearer {secret}")
    answer = place.client("owner", authorization=sent).get("/api/me")  # the cookie beside it changes nothing
    words = {
        "unknown": "not known",
        "revoked": "revoked",
        "expired": "expired",
        "shut out": "revoked",
        "no bearer": "Bearer",
    }
    assert answer.status_code == 401 and words[how] in answer.json()["error"]


def test_an_erased_account_leaves_its_labels_under_a_pseudonym(place: Place) -> None:
    rater, owner = place.client("rater"), place.client("owner")
    [held, _] = rater.post(f"/api/projects/{place.project.id}/desk").json()["tasks"]
    body = {"client_uuid": "6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11", "value": {"verdict": "tie"}}
    assert rater.post(f"/api/assignments/{held['assignment']}/judgements", json=body).status_code == 200
    owner.post(f"/api/accounts/{place.accounts['rater']}/erase", json={})
    assert rater.get("/api/me").status_code == 401
    raw = owner.get(f"/api/projects/{place.project.id}/export?kind=raw").json()
    assert raw["rater"].startswith("rater-") and raw["rater_kind"] == "human"
    assert "rater" not in [one["login"] for one in owner.get("/api/accounts").json()]


def test_behind_tls_the_cookie_is_bound_to_the_host(place: Place) -> None:
    settings = Settings(database=place.settings.database, public_url="https://label.example.org")
    client = TestClient(create_app(settings, place.store), base_url=settings.url)
    answer = client.post("/api/session", json=SIGN_IN)
    assert (
        answer.headers["set-cookie"].startswith("__Host-heedful_session=") and "Secure" in answer.headers["set-cookie"]
    )
    assert "max-age" in answer.headers["strict-transport-security"]
    assert client.get("/api/health", headers={"host": "label.example.org.evil.com"}).status_code == 400


def test_the_self_check_names_the_setting_that_is_wrong(place: Place) -> None:
    owner = place.client("owner")
    fine = owner.get(
        "/api/selfcheck", params={"browser_time": time.time(), "browser_url": "http://127.0.0.1:8100/selfcheck"}
    )
    assert all(one["right"] for one in fine.json())
    odd = owner.get(
        "/api/selfcheck", params={"browser_time": time.time() - 999, "browser_url": "http://label.example.org/"}
    )
    wrong = {one["name"]: one["said"] for one in odd.json() if not one["right"]}
    assert set(wrong) == {"Address", "Encryption", "Clock"}
    assert "--public-url http://label.example.org" in wrong["Address"]
    settings = Settings(database=place.settings.database, public_url="https://label.example.org")
    client = TestClient(create_app(settings, place.store), base_url=settings.url)
    client.post("/api/session", json=SIGN_IN | {"login": "owner"})
    told = client.get(
        "/api/selfcheck?browser_url=https://label.example.org/", headers={"host": "127.0.0.1:8100"}
    ).json()
    assert [one["name"] for one in told if not one["right"]] == ["Proxy"]


def test_models_and_addresses_of_the_command_line() -> None:
    models = read_models(["a=http://h:1/v1", "b=https://h/v1#org/model@2@KEY"])
    assert (models[0].url, models[0].model) == ("http://h:1/v1", "")
    assert (models[1].url, models[1].model, models[1].key_variable) == ("https://h/v1", "org/model@2", "KEY")
    for bad in (["x"], ["a=ftp://h"], ["a=http://h", "a=http://g"]):
        with pytest.raises(InputError, match="--model"):
            read_models(bad)
    with pytest.raises(InputError, match="public-url"):
        Settings(public_url="label.example.org/studio")
