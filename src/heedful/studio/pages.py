"""The pages: shells that the browser's scripts fill from the API, with nothing that the API would not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.responses import Response

from heedful import __version__
from heedful.feedback.accounts import owners
from heedful.feedback.exports.rows import ExportFormat
from heedful.studio.access import House, Known, Labeller, Manager, Need, Owner, Reviewer, Who, caller, project_for
from heedful.studio.languages import COOKIE, FIRST, Language, reader_language
from heedful.studio.settings import Settings

router = APIRouter()
HERE = Path(__file__).parent
_templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(default=True))
IN_ENGLISH = frozenset(  # pages that no rater sees, which have their sentences in themselves
    ["project.html", "team.html", "runs.html", "playground.html", "new_project.html", "selfcheck.html"]
)


def page(name: str, request: Request, who: Who | None, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template with what the frame needs."""
    settings: Settings = request.app.state.studio.settings
    language = settings.languages[FIRST] if name in IN_ENGLISH else _language(request, settings)
    known = {"who": who.account if who else None, "version": __version__, "path": request.url.path}
    may = {need.name.lower(): who.may(need) for need in Need if need is not Need.NOTHING} if who else {}
    said = {"language": language, "t": language.say}
    return HTMLResponse(_templates.get_template(name).render(**known, **said, may=may, **values), status)


def _language(request: Request, settings: Settings) -> Language:
    chosen, accepted = request.cookies.get(COOKIE, ""), request.headers.get("accept-language", "")
    return reader_language(settings.languages, chosen, accepted)


def error_page(request: Request, status: int, said: str) -> HTMLResponse:
    return page("error.html", request, None, status=status, said=said)


@router.get("/")
def home(request: Request, studio: House, who: Known) -> Response:
    return page("home.html", request, who)


@router.get("/login")
def login(request: Request, studio: House) -> Response:
    with studio.store.read() as connection:
        who = caller(request, studio, connection)
        empty = not owners(connection)
    return RedirectResponse("/", 303) if who else page("login.html", request, None, empty=empty)


@router.get("/join/{secret}")
def join(secret: str, request: Request, studio: House) -> Response:
    return page("join.html", request, None, secret=secret)


@router.get("/projects/new")
def new_project(request: Request, who: Manager) -> Response:
    return page("new_project.html", request, who)


@router.get("/projects/{project_id}")
def dashboard(project_id: int, request: Request, studio: House, who: Reviewer) -> Response:
    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
    return page("project.html", request, who, project=of, formats=" ".join(ExportFormat))


@router.get("/projects/{project_id}/disputes")
def disputes(project_id: int, request: Request, studio: House, who: Reviewer) -> Response:
    return _of_project("disputes.html", project_id, request, studio, who)


@router.get("/projects/{project_id}/label")
def label(project_id: int, request: Request, studio: House, who: Labeller) -> Response:
    return _of_project("label.html", project_id, request, studio, who)


@router.get("/projects/{project_id}/chat")
def chat(project_id: int, request: Request, studio: House, who: Labeller) -> Response:
    return _of_project("chat.html", project_id, request, studio, who)


def _of_project(name: str, project_id: int, request: Request, studio: House, who: Who) -> Response:
    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
    return page(name, request, who, project=of)


@router.get("/team")
def team(request: Request, who: Manager) -> Response:
    return page("team.html", request, who)


@router.get("/my-work")
def work(request: Request, who: Labeller) -> Response:
    return page("work.html", request, who)


@router.get("/account")
def account(request: Request, studio: House, who: Known) -> Response:
    chosen = request.cookies.get(COOKIE, "")
    return page("account.html", request, who, languages=studio.settings.languages, chosen=chosen)


@router.get("/runs")
def runs(request: Request, who: Reviewer) -> Response:
    return page("runs.html", request, who)


@router.get("/playground")
def playground(request: Request, who: Manager) -> Response:
    return page("playground.html", request, who)


@router.get("/selfcheck")
def selfcheck(request: Request, who: Owner) -> Response:
    return page("selfcheck.html", request, who)
