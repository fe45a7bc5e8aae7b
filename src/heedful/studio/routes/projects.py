"""Projects: making and changing them, what goes in and comes out, and what the dashboard shows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from heedful.feedback import counting
from heedful.feedback.audit import changes, note
from heedful.feedback.disputes import look_through
from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.figures import Figures, figures
from heedful.feedback.intake import import_file
from heedful.feedback.labels import CHECKS, LABELS, rows_of
from heedful.feedback.leaks import leaks
from heedful.feedback.order import Rule, reorder
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import (
    Project,
    QueueFields,
    QueuePolicy,
    all_projects,
    asked_in_all,
    change_project,
    create_project,
    judged_by,
    known_rater,
    lacking_skills,
    progress,
    projects_of,
    read_project,
)
from heedful.feedback.qualification import skills_of
from heedful.feedback.queue import waiting
from heedful.feedback.sheet import Sheet
from heedful.feedback.sheet_file import read_sheet
from heedful.feedback.store import Store
from heedful.studio.access import SEES_ALL, Exporter, House, Known, Manager, Need, Refused, Reviewer, project_for
from heedful.studio.routes.shapes import Body, Done, ProjectCard, ProjectFull

router = APIRouter(tags=["projects"])
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz")


class PresetRow(BaseModel):
    """A sheet to begin from."""

    key: str
    """What `preset` of a new project names."""
    name: str
    """As the page shows it."""
    about: str
    """What it asks, and where that was published."""
    sheet: Sheet
    """The sheet itself."""


class NewProject(Body):
    """A project: a preset by its key, or a sheet of one's own, as JSON or as the text of a TOML file."""

    name: str = Field(min_length=1, max_length=80)
    """Unique in this studio."""
    about: str = Field("", max_length=2000)
    """One or two sentences for its list."""
    guidelines: str = Field("", max_length=50_000)
    """What raters are to go by, as Markdown."""
    warning: str = Field("", max_length=2000)
    """What raters read before its first item; empty: nothing."""
    preset: str = ""
    """A sheet by its key, of `GET /presets`; give this, `sheet` or `sheet_toml`."""
    sheet: Sheet | None = None
    """A sheet of one's own."""
    sheet_toml: str = Field("", max_length=100_000)
    """The same as the text of a TOML file."""
    queue: QueuePolicy = QueuePolicy()
    """How items are handed out; what is left out has its default."""

    def asked(self) -> Sheet:
        """The sheet that was meant. Refused: none was, or several were. InputError: the TOML is no sheet."""
        if sum((bool(self.preset), self.sheet is not None, bool(self.sheet_toml))) != 1:
            raise Refused(422, "give one of preset, sheet and sheet_toml")
        if self.sheet_toml:
            return read_sheet(self.sheet_toml, "the sheet")
        if self.sheet is None and self.preset not in PRESETS:
            raise Refused(422, f"'{self.preset}' is no preset; known: {', '.join(PRESETS)}")
        return self.sheet or PRESETS[self.preset].sheet


class ProjectChange(Body):
    """What is given is changed. The sheet stays as it was."""

    about: str | None = Field(None, max_length=2000)
    """One or two sentences for its list."""
    guidelines: str | None = Field(None, max_length=50_000)
    """What raters are to go by, as Markdown."""
    warning: str | None = Field(None, max_length=2000)
    """What raters read before its first item; empty: nothing."""
    queue: QueueFields | None = None
    """Settings of the queue; those that are left out stay."""
    open: bool | None = None
    """Whether items are handed out."""


class Made(BaseModel):
    """The new project's number."""

    id: int
    """Its number, which other addresses name."""


class ImportReport(BaseModel):
    """What an import did, and every row that could not go in (the first hundred of them)."""

    items: int
    """New ones."""
    there_already: int
    """Items that the project held before; nothing of them was changed."""
    labels: int
    """Judgements that came with the items."""
    nameless: int
    """Judgements that were left out, as no rater is named: `rater` keeps them."""
    leaks: int
    """Answers that name who wrote them."""
    fault_count: int
    """Rows that could not go in."""
    faults: list[str]
    """The first hundred of these, each a sentence with file, line and field."""


class Order(Body):
    """Which items shall come first."""

    rule: Rule
    """What the items are ordered by; see docs/studio.md, the queue."""


@router.get("/presets")
def presets(who: Known) -> list[PresetRow]:
    """Sheets as published studies asked them."""
    return [PresetRow(key=key, name=one.name, about=one.about, sheet=one.sheet) for key, one in PRESETS.items()]


@router.get("/projects")
def projects(studio: House, who: Known) -> list[ProjectCard]:
    """The projects that the caller may see."""
    with studio.store.read() as connection:
        rater_id = known_rater(connection, who.account.id)
        own = projects_of(connection, who.account.id)
        seen = [one for one in all_projects(connection) if who.account.role in SEES_ALL or one.id in own]
        return [_card(connection, one, rater_id, who.may(Need.REVIEW)) for one in seen]


def _card(connection: Connection, of: Project, rater_id: int, counted: bool) -> ProjectCard:
    """counted: with the items' numbers, which beside `mine` would tell a rater which items are hidden checks."""
    card = ProjectCard(
        id=of.id, name=of.name, about=of.about, warning=of.warning, open=of.open, sheet=of.sheet,
        mine=judged_by(connection, of.id, rater_id),
        in_all=asked_in_all(connection, of.id, skills_of(connection, rater_id)),
    )  # fmt: skip
    if not counted:
        return card
    counts = progress(connection, of.id)
    told = {"begun": counts.begun, "complete": counts.complete, "to_decide": counts.disputed}
    return card.model_copy(update={"items": counts.items} | told)


@router.post("/projects")
def new_project(body: NewProject, studio: House, who: Manager) -> Made:
    """Make a project."""
    sheet = body.asked()
    if sheet.chat != "off" and len(studio.settings.models) < 2:
        raise Refused(422, "a chat needs two models: start the studio with --model NAME=URL twice")
    with studio.store.write() as connection:
        made = create_project(
            connection, body.name.strip(), sheet, body.queue, body.about, body.guidelines, body.warning
        )
        note(connection, studio.clock(), who.account.id, "project made", f"project {made}", name=body.name)
    return Made(id=made)


@router.get("/projects/{project_id}")
def project(project_id: int, studio: House, who: Reviewer) -> ProjectFull:
    """One project with its settings and progress."""
    with studio.store.write() as connection:
        of = project_for(connection, who, project_id)
        look_through(connection, of)
        counts, left = progress(connection, project_id), waiting(connection, project_id)
        lacking = lacking_skills(connection, project_id)
    return ProjectFull(
        id=of.id, name=of.name, about=of.about, guidelines=of.guidelines, warning=of.warning, open=of.open,
        sheet=of.sheet, queue=of.queue,
        items=counts.items, begun=counts.begun, complete=counts.complete, gold=counts.gold, training=counts.training,
        probes=counts.probes, waiting=left, to_decide=counts.disputed, lacking=lacking,
    )  # fmt: skip


@router.patch("/projects/{project_id}")
def change(project_id: int, body: ProjectChange, studio: House, who: Manager) -> Done:
    """Change guidelines, queue, or whether the project is open."""
    with studio.store.write() as connection:
        was = project_for(connection, who, project_id)
        change_project(
            connection, project_id, about=body.about, guidelines=body.guidelines, warning=body.warning,
            queue=was.queue.changed(body.queue) if body.queue else None, open=body.open,
        )  # fmt: skip
        said = changes(_settings(was), _settings(read_project(connection, project_id)))
        if said:
            note(connection, studio.clock(), who.account.id, "project changed", f"project {project_id}", **said)
    return Done()


def _settings(of: Project) -> dict[str, Any]:
    """What can be changed of a project, each setting by its name."""
    texts = {"about": of.about, "guidelines": of.guidelines, "warning": of.warning, "open": of.open}
    return texts | {f"queue.{name}": value for name, value in of.queue.model_dump().items()}


@router.post("/projects/{project_id}/order")
def order(project_id: int, body: Order, studio: House, who: Manager) -> dict[str, int]:
    """Put the items that nobody has begun in the order of a rule; answers how many were placed by what."""
    with studio.store.write() as connection:
        of = project_for(connection, who, project_id)
        placed = reorder(connection, of, body.rule)
        note(connection, studio.clock(), who.account.id, "queue ordered", f"project {project_id}", rule=body.rule)
    return placed


@router.post(
    "/projects/{project_id}/import",
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)
async def import_rows(
    project_id: int,
    request: Request,
    studio: House,
    who: Manager,
    name: Annotated[str, Query(max_length=200)],
    rater: Annotated[str, Query(max_length=120)] = "",
) -> ImportReport:
    """Add the items of a file, sent as the request's body; `name` tells its kind by its end.

    Judgements that it holds are kept under their raters' names, those of nobody under the name `rater` or, without one,
    not at all.
    A bad row is named and left out, the good ones go in, and sending the file again adds what is missing.
    """
    suffix = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    if not suffix:
        raise Refused(422, f"'{name}': the studio reads {', '.join(SUFFIXES)}")
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).name.removesuffix(suffix)[:80] + suffix)
        with path.open("wb") as file:
            async for block in request.stream():
                file.write(block)
        done = await to_thread.run_sync(import_file, studio.store, project_id, path, rater)
        faults = [fault.replace(f"{folder}/", "") for fault in done.faults]
    with studio.store.write() as connection:
        counts = {"items": done.items, "faults": done.fault_count}
        note(connection, studio.clock(), who.account.id, "imported", f"project {project_id}", file=name, **counts)
    return ImportReport(
        items=done.items,
        there_already=done.there_already,
        labels=done.labels,
        nameless=done.nameless,
        leaks=done.leaks,
        fault_count=done.fault_count,
        faults=faults,
    )


@router.get(
    "/projects/{project_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def export(
    project_id: int,
    studio: House,
    who: Exporter,
    kind: ExportFormat = ExportFormat.RANKINGS,
    raters: Literal["all", "human", "ai", "simulated"] = "all",
    checks: bool = False,
    without_leaks: bool = False,
) -> StreamingResponse:
    """Judgements as JSON lines: `rankings` to train on, `demonstrations`, the `raw` log, or a tool's own format.

    What a format can't say, as a tie where it knows none, has no row. The raw log holds everything: every revision of
    every judgement, and what was skipped or reported, each marked by its `state`.
    checks: gold, training and probe items too. without_leaks: none of items in which an answer names who wrote it.
    """
    with studio.store.write() as connection:
        of = project_for(connection, who, project_id)
        note(connection, studio.clock(), who.account.id, "exported", f"project {project_id}", kind=kind)
    parts = LABELS + CHECKS if checks else LABELS
    name = f"{of.name.replace(' ', '-')}-{kind}.jsonl"
    safe = "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-_."))
    return StreamingResponse(
        _lines(studio.store, of, kind, raters, parts, without_leaks),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{safe}"'},
    )


def _lines(
    store: Store, of: Project, kind: ExportFormat, raters: str, parts: tuple[str, ...], without_leaks: bool
) -> Iterator[str]:
    with store.read() as connection:
        for row in rows_of(connection, of, kind, raters=raters, parts=parts, without_leaks=without_leaks):
            if not isinstance(row, LeftOut):
                yield json.dumps(row, ensure_ascii=False) + "\n"


@router.get("/projects/{project_id}/agreement")
def agreement(project_id: int, studio: House, who: Reviewer, by_chance: bool = False) -> dict[str, Any]:
    """How well raters agree, with intervals and beside published figures, and what their answers lean on."""
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
    return counting.agreement(studio.store, project_id, by_chance=by_chance)


@router.get("/projects/{project_id}/routes")
def routing(project_id: int, studio: House, who: Reviewer) -> list[dict[str, Any]]:
    """Of each judge on each kind of prompt: agreement with people, and the share of its items that people see if the
    queue audits by agreement."""
    from heedful.feedback.routing import routes

    with studio.store.read() as connection:
        return [asdict(one) for one in routes(connection, project_for(connection, who, project_id))]


@router.get("/projects/{project_id}/drift")
def drift(project_id: int, studio: House, who: Reviewer) -> list[dict[str, Any]]:
    """Whether each rater still answers probes (else hidden checks) as at the beginning; alarms first."""
    from heedful.feedback.drift import drifts  # numpy

    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
        return [asdict(one) for one in drifts(connection, of, names=who.account.role in SEES_ALL)]


@router.get("/projects/{project_id}/leaks")
def named(project_id: int, studio: House, who: Manager) -> dict[str, Any]:
    """Answers that name who wrote them. They stay as they are; an export may leave their labels out."""
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        return asdict(leaks(connection, project_id))


@router.get("/projects/{project_id}/figures")
def dashboard(project_id: int, studio: House, who: Reviewer) -> Figures:
    """Who labelled how much and how well, and whether the side of the screen draws answers."""
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        return figures(connection, project_id, names=who.account.role in SEES_ALL)
