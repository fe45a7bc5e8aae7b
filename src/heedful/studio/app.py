"""Puts the studio together: guard, routes, errors in sentences."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from heedful import __version__
from heedful.errors import HeedfulError, InputError, ResourceError
from heedful.feedback.accounts import SignInError, Throttled
from heedful.feedback.store import Store
from heedful.feedback.submit import Reused, TooLate
from heedful.feedback.together import Together
from heedful.studio.access import Refused, Studio
from heedful.studio.document import document
from heedful.studio.faults import sentence
from heedful.studio.guard import Guard
from heedful.studio.pages import error_page
from heedful.studio.pages import router as pages
from heedful.studio.routes import (
    accounts,
    appeals,
    chat,
    disputes,
    labelling,
    machines,
    notices,
    own,
    projects,
    runs,
    sessions,
    system,
    webhooks,
)
from heedful.studio.routes.shapes import Problem
from heedful.studio.settings import Settings

HERE = Path(__file__).parent
STATUS: tuple[tuple[type[HeedfulError], int], ...] = (
    (SignInError, 401),
    (Throttled, 429),
    (Reused, 422),
    (TooLate, 409),
    (InputError, 400),
    (ResourceError, 503),
)
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "It was refused, and nothing was changed: 400, 409 and 422 for what was "
            "asked, 401 and 403 for who asked, 404 for what is not there, 413 for its size, 429 for too much at once."},
    "503": {"model": Problem, "description": "The database or a model does not answer; try again."},
}  # fmt: skip


def create_app(settings: Settings, store: Store) -> FastAPI:
    """The studio over an open database."""
    app = FastAPI(
        title="heedful studio",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        description="Everything that the studio's pages do. Send a token as `Authorization: Bearer heedful_…`.",
        telemetry={"tracing": False, "metrics": False, "logs": False},  # each request would ask
    )
    app.state.studio = Studio(settings, store, Together(store))
    asked_most = (labelling, system, sessions)  # first: an address is compared with one route after another
    about_items = (own, notices, appeals, disputes, machines, chat)
    routers = [one.router for one in (*asked_most, accounts, projects, *about_items, runs, webhooks)]
    for router in routers:
        app.include_router(router, prefix="/api", responses=ERRORS)
    app.include_router(pages, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_middleware(Guard, settings=settings)
    _say_errors(app)
    app.openapi = partial(document, app, "/api", routers)  # type: ignore[method-assign]
    return app


def _say_errors(app: FastAPI) -> None:
    """Every error is one sentence: as JSON for the API, as a page for a browser."""

    @app.exception_handler(HeedfulError)
    def known(request: Request, error: HeedfulError) -> Response:
        status = error.status if isinstance(error, Refused) else _status(error)
        return _answer(request, status, str(error))

    @app.exception_handler(RequestValidationError)
    def misshapen(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, 422, sentence(error.errors()))

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: HTTPException) -> Response:
        said = {404: "there is nothing at this address", 405: "this address is not used that way"}
        return _answer(request, error.status_code, said.get(error.status_code, str(error.detail)))


def _status(error: HeedfulError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 400)


def _answer(request: Request, status: int, said: str) -> Response:
    if request.url.path.startswith("/api/") or request.method not in ("GET", "HEAD"):
        return JSONResponse({"error": said}, status)
    if status == 401:
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    return error_page(request, status, said)
