"""Every route against every role: who gets in is written here by hand, and a route that is not here fails the test."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.studio.conftest import Place

from heedful.feedback.accounts import ROLES, create_token
from heedful.studio.app import create_app

ALL, LABEL, REVIEW, MANAGE, OWN = "omrws", "omrw", "omr", "om", "o"  # owner, manager, reviewer, rater (w), service
LETTER = {"owner": "o", "manager": "m", "reviewer": "r", "rater": "w", "service": "s"}
NOBODY = "nobody too"
ROUTES = {
    "GET /api/health": NOBODY,
    "POST /api/session": NOBODY,
    "DELETE /api/session": NOBODY,
    "GET /api/links/{secret}": NOBODY,
    "POST /api/links/{secret}": NOBODY,
    "GET /login": NOBODY,
    "GET /join/{secret}": NOBODY,
    "GET /api/me": ALL,
    "POST /api/me/password": ALL,
    "GET /api/tokens": ALL,
    "POST /api/tokens": ALL,
    "DELETE /api/tokens/{token_id}": ALL,
    "GET /api/presets": ALL,
    "GET /api/projects": ALL,
    "GET /": ALL,
    "GET /account": ALL,
    "POST /api/projects/{project_id}/desk": LABEL,
    "GET /api/projects/{project_id}/mine": LABEL,
    "GET /api/assignments/{assignment_id}": LABEL,
    "POST /api/assignments/{assignment_id}/heartbeat": LABEL,
    "PUT /api/assignments/{assignment_id}/draft": LABEL,
    "POST /api/assignments/{assignment_id}/judgements": LABEL,
    "POST /api/assignments/{assignment_id}/skip": LABEL,
    "POST /api/assignments/{assignment_id}/report": LABEL,
    "POST /api/assignments/{assignment_id}/appeal": LABEL,
    "GET /api/projects/{project_id}/my-appeals": LABEL,
    "GET /api/me/work": LABEL,
    "GET /my-work": LABEL,
    "GET /api/projects/{project_id}/appeals": REVIEW,
    "POST /api/projects/{project_id}/appeals/{appeal_id}": REVIEW,
    "GET /api/projects/{project_id}/notices": REVIEW,
    "POST /api/projects/{project_id}/notices/{notice_id}": REVIEW,
    "POST /api/projects/{project_id}/conversations": LABEL,
    "GET /api/projects/{project_id}/conversations": LABEL,
    "GET /api/conversations/{conversation_id}": LABEL,
    "POST /api/conversations/{conversation_id}/turns": LABEL,
    "POST /api/conversations/{conversation_id}/again": LABEL,
    "POST /api/conversations/{conversation_id}/end": LABEL,
    "GET /projects/{project_id}/label": LABEL,
    "GET /projects/{project_id}/chat": LABEL,
    "GET /api/projects/{project_id}/machine-items": "oms",
    "POST /api/projects/{project_id}/machine-labels": "oms",
    "GET /api/projects/{project_id}/export": "omrs",
    "GET /api/projects/{project_id}": REVIEW,
    "GET /api/projects/{project_id}/figures": REVIEW,
    "GET /api/projects/{project_id}/agreement": REVIEW,
    "GET /api/projects/{project_id}/routes": REVIEW,
    "GET /api/projects/{project_id}/drift": REVIEW,
    "GET /projects/{project_id}": REVIEW,
    "GET /projects/{project_id}/disputes": REVIEW,
    "GET /api/projects/{project_id}/disputes": REVIEW,
    "POST /api/projects/{project_id}/items/{item_id}/decision": REVIEW,
    "GET /api/runs": REVIEW,
    "GET /api/runs/{name}/stages/{stage}/metrics": REVIEW,
    "GET /api/runs/{name}/report": REVIEW,
    "GET /runs": REVIEW,
    "POST /api/projects": MANAGE,
    "PATCH /api/projects/{project_id}": MANAGE,
    "POST /api/projects/{project_id}/order": MANAGE,
    "POST /api/projects/{project_id}/import": MANAGE,
    "GET /api/projects/{project_id}/leaks": MANAGE,
    "GET /api/projects/{project_id}/members": MANAGE,
    "PUT /api/projects/{project_id}/members/{account_id}": MANAGE,
    "DELETE /api/projects/{project_id}/members/{account_id}": MANAGE,
    "GET /api/accounts": MANAGE,
    "POST /api/invitations": MANAGE,
    "POST /api/accounts/{account_id}/reset": MANAGE,
    "PUT /api/accounts/{account_id}/skills": MANAGE,
    "GET /api/models": MANAGE,
    "POST /api/playground": MANAGE,
    "GET /projects/new": MANAGE,
    "GET /team": MANAGE,
    "GET /playground": MANAGE,
    "PATCH /api/accounts/{account_id}": OWN,
    "POST /api/accounts/{account_id}/erase": OWN,
    "POST /api/services": OWN,
    "POST /api/services/{account_id}/token": OWN,
    "GET /api/projects/{project_id}/webhooks": OWN,
    "POST /api/projects/{project_id}/webhooks": OWN,
    "DELETE /api/projects/{project_id}/webhooks/{webhook_id}": OWN,
    "GET /api/projects/{project_id}/webhooks/{webhook_id}/deliveries": OWN,
    "POST /api/projects/{project_id}/webhooks/{webhook_id}/retry": OWN,
    "GET /api/events": OWN,
    "GET /api/selfcheck": OWN,
    "GET /selfcheck": OWN,
}
BODIES: dict[str, Any] = {
    "POST /api/me/password": {"old": "wrong", "new": "wrong"},
    "POST /api/tokens": {"name": "t", "scopes": ["read"]},
    "POST /api/projects": {"name": "new", "preset": "none"},
    "POST /api/projects/{project_id}/order": {"rule": "disagreement"},
    "PUT /api/assignments/{assignment_id}/draft": {"value": {}},
    "POST /api/assignments/{assignment_id}/judgements": {
        "client_uuid": "6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11",
        "value": {},
    },
    "POST /api/projects/{project_id}/items/{item_id}/decision": {
        "client_uuid": "6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11",
        "value": {},
    },
    "POST /api/assignments/{assignment_id}/appeal": {"text": "x"},
    "POST /api/projects/{project_id}/appeals/{appeal_id}": {"outcome": "stands"},
    "POST /api/projects/{project_id}/notices/{notice_id}": {"outcome": "settled"},
    "POST /api/conversations/{conversation_id}/again": {"client_uuid": "6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11"},
    "POST /api/conversations/{conversation_id}/turns": {
        "client_uuid": "6f1f3f0a-8f5d-4b5e-9b0e-0d7a4f6c2e11",
        "text": "x",
    },
    "POST /api/playground": {"models": ["none"], "messages": [{"role": "user", "content": "x"}]},
    "POST /api/projects/{project_id}/machine-labels": {"judge": "j", "labels": []},
    "POST /api/services": {"login": "a b"},
    "PUT /api/accounts/{account_id}/skills": {"skills": []},
    "POST /api/projects/{project_id}/webhooks": {"url": "no url"},
}


def routes(app: Any) -> list[str]:
    found = []
    for route in app.routes:
        inner = getattr(route, "routes", None) or [route]
        for one in inner:
            if isinstance(one, APIRoute):
                found += [f"{method} {one.path}" for method in sorted(one.methods - {"HEAD"})]
    return found


def path_of(route: str, project: int, account: int = 999) -> tuple[str, str]:
    method, path = route.split(" ")
    for name, value in (
        ("project_id", project), ("assignment_id", 999), ("item_id", 999), ("conversation_id", 999),
        ("account_id", account), ("token_id", 999), ("webhook_id", 999), ("appeal_id", 999), ("notice_id", 999),
        ("secret", "x"), ("name", "none"), ("stage", "none"),
    ):  # fmt: skip
        path = path.replace(f"{{{name}}}", str(value))
    query = {"import": "?name=a.txt", "machine-items": "?judge=j"}.get(path.rsplit("/", 1)[-1], "")
    return method, path + query


def test_every_route_is_in_the_table(place: Place) -> None:
    openapi = {
        f"{method.upper()} {path}" for path, methods in place.app.openapi()["paths"].items() for method in methods
    }
    pages = {route for route in ROUTES if not route.split(" ")[1].startswith("/api")}
    assert openapi | pages == set(ROUTES)
    from heedful.studio.pages import router

    assert {f"GET {route.path}" for route in router.routes} == pages  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["", *ROLES])
def test_who_gets_in(place: Place, role: str) -> None:
    for route, allowed in ROUTES.items():
        client = place.client(role)
        method, path = path_of(route, place.project.id)
        body = BODIES.get(route, {}) if method in ("POST", "PUT", "PATCH") else None
        answer = client.request(method, path, json=body, follow_redirects=False)
        if allowed == NOBODY or (role and LETTER[role] in allowed):
            assert answer.status_code not in (401, 403, 500, 503), (role, route, answer.text[:200])
        elif role:
            assert answer.status_code == 403, (role, route, answer.status_code)
        else:
            sent_to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
            assert answer.status_code == 401 or sent_to_login, (route, answer.status_code)


@pytest.mark.parametrize("role", ["reviewer", "rater", "service"])
def test_another_project_is_not_there_for_whoever_is_not_in_it(place: Place, role: str) -> None:
    other = place.add_project("secret", place.project.sheet, members=())
    client = place.client(role)
    assert [one["name"] for one in client.get("/api/projects").json()] == ["p"]
    for route, allowed in ROUTES.items():
        if "{project_id}" in route and LETTER[role] in allowed:
            method, path = path_of(route, other.id)
            answer = client.request(method, path, json=BODIES.get(route, {}) if method != "GET" else None)
            assert answer.status_code == 404, (route, answer.status_code)


@pytest.mark.parametrize(
    ("scopes", "may", "may_not"),
    [
        (["read"], [("GET", "/api/projects")], [("POST", "desk"), ("POST", "/api/tokens")]),
        (["label"], [("POST", "desk")], [("GET", "/api/projects"), ("POST", "/api/projects")]),
        (["manage"], [("POST", "/api/invitations")], [("GET", "/api/me"), ("POST", "desk")]),
    ],
)
def test_a_token_may_do_no_more_than_its_scopes(
    place: Place, scopes: Any, may: list[tuple[str, str]], may_not: list[tuple[str, str]]
) -> None:
    with place.store.write() as connection:
        token = create_token(connection, place.accounts["owner"], "t", scopes, 1, place.app.state.studio.clock())
    client = place.client(authorization=f"Bearer {token}")
    for method, path in may + may_not:
        route = f"/api/projects/{place.project.id}/desk" if path == "desk" else path
        body = {"name": "t", "scopes": scopes} if path == "/api/tokens" else {}
        answer = client.request(method, route, json=body if method == "POST" else None)
        if (method, path) in may:
            assert answer.status_code == 200, (path, answer.text)
        else:
            assert answer.status_code == 403 and "scope" in answer.json()["error"], (path, answer.text)


def test_a_token_makes_no_token_that_would_outlive_it(place: Place) -> None:
    with place.store.write() as connection:
        every: Any = ["read", "label", "manage"]
        token = create_token(connection, place.accounts["owner"], "t", every, 1, place.app.state.studio.clock())
    client = place.client(authorization=f"Bearer {token}")
    answer = client.post("/api/tokens", json={"name": "longer", "scopes": ["read"], "days": 366})
    assert answer.status_code == 403 and "sign in" in answer.json()["error"]


def test_the_log_knows_no_tokens_name(place: Place) -> None:
    """It can't be changed, so that what an erased person wrote would stay in it."""
    made = place.client("rater").post("/api/tokens", json={"name": "ann's laptop", "scopes": ["read"], "days": 1})
    assert made.status_code == 200
    log = place.client("owner").get("/api/events").text
    assert "token made" in log and "laptop" not in log


def test_the_openapi_document_describes_every_answer(place: Place) -> None:
    document = place.client().get("/api/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            assert one.get("tags") and (one.get("description") or one.get("summary")), (method, path)
            content = one["responses"]["200"].get("content", {})
            assert content or path.endswith(("/export", "/report")), (method, path)


def test_two_studios_share_nothing(place: Place) -> None:
    assert create_app(place.settings, place.store) is not place.app
