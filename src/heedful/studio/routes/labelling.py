"""What a rater does: hold items, save drafts, answer, change an answer, skip, report."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from heedful.feedback import queue
from heedful.feedback.projects import Project, again_at, judged_by, rater_for, read_project
from heedful.feedback.qualification import Qualification, qualification
from heedful.feedback.sheet import Sheet
from heedful.feedback.submit import Submitted, save_draft, submit
from heedful.studio.access import House, Labeller, Refused, project_for, rater_of
from heedful.studio.render import tree
from heedful.studio.routes.shapes import Body, Done, Task
from heedful.studio.tasks import Held, read_held, read_tasks, tasks_of

router = APIRouter(tags=["labelling"])  # the two that are asked most come first: one is tried after another
DAY = 86400.0


class OnTheWay(BaseModel):
    """How far a rater is on the way to real items: `right` of the last `done` training items, `need` of `of` wanted."""

    right: int
    """Of the last training items, by the first answer."""
    done: int
    """Training items that count so far."""
    need: int
    """How many must be right."""
    of: int
    """How many count."""


class Desk(BaseModel):
    """What a rater has before them: `tasks` are the items held, the first to do now and the next behind it.

    `done` is counted once no task is left.
    """

    project: int
    """The project's number."""
    name: str
    """The project's name."""
    guidelines: list[Any]
    """As a tree, as in Turn."""
    sheet: Sheet
    """What is asked of each item."""
    open: bool
    """Whether items are handed out."""
    tasks: list[Task]
    """Items held: the first to do now, the next behind it. None: nothing is left."""
    done: int
    """Items that the caller has answered, counted once no task is left."""
    today: int
    """Of them within a day."""
    again_at: float = 0.0
    """When the caller may go on who has answered as many items as the project takes within an hour, in seconds since
    1970; else 0."""
    on_the_way: OnTheWay | None = None
    """Where the project asks raters to qualify and the caller has not yet."""


class Submission(Body):
    """An answer. `client_uuid` is drawn once by whoever answers, and sent again with every retry."""

    client_uuid: UUID
    """Drawn once for an answer, and sent again with every retry of it."""
    value: dict[str, Any]
    """The filled-in sheet, its answers counted in the order shown."""
    seconds: float = Field(0.0, ge=0, le=86400)
    """Time at work on it."""


class Saved(BaseModel):
    """The answer is on the disk. `late`: its lease had run out; it is kept all the same."""

    judgement: int
    """The judgement's number."""
    revision: int
    """1 for the first answer, one more for each change."""
    repeated: bool
    """This very submission was there already."""
    late: bool
    """The lease had run out."""
    feedback: dict[str, Any]
    """Of a training item: `agrees`, the `expected` sheet, and the `explanation`; else empty."""


class Draft(Body):
    """What is filled in so far."""

    value: dict[str, Any]
    """The sheet so far, as in Submission."""


class Aside(Body):
    """Why an item is skipped or reported; may be left out for a skip."""

    text: str = Field("", max_length=2000)
    """For whoever manages the project; a report needs one."""


class Past(BaseModel):
    """An item that the rater has dealt with."""

    id: int
    """The assignment's number."""
    state: str
    """`done`, `skipped` or `reported`."""
    verdict: str
    """What was said, in a word."""
    closed_at: float
    """Seconds since 1970."""
    late: bool
    """The lease had run out."""


@router.post("/projects/{project_id}/desk")
async def desk(project_id: int, studio: House, who: Labeller) -> Desk:
    """The items that the caller holds, filled up from the queue; asking again gives the same ones."""
    now = studio.clock()

    def act(connection: Connection) -> tuple[Project, Held, int, int, float, Qualification | None]:
        of, rater_id = project_for(connection, who, project_id), rater_for(connection, who.account.id)
        held = read_held(connection, of, queue.lease(connection, of, rater_id, now))
        today = judged_by(connection, project_id, rater_id, now - DAY)
        done = 0 if held.rows else judged_by(connection, project_id, rater_id)
        rest = 0.0 if held.rows else again_at(connection, of, rater_id, now)
        training = of.queue.qualify and any(row.part == "training" for row in held.rows)
        return of, held, today, done, rest, qualification(connection, of, rater_id) if training else None

    of, held, today, done, rest, way = await studio.write(act, soon=True)
    return Desk(
        project=of.id, name=of.name, guidelines=tree(of.guidelines), sheet=of.sheet, open=of.open,
        tasks=tasks_of(held, of, now), done=done, today=today, again_at=rest,
        on_the_way=OnTheWay(right=way.right, done=way.done, need=way.need, of=of.queue.training) if way else None,
    )  # fmt: skip


@router.post("/assignments/{assignment_id}/judgements")
async def answer(assignment_id: int, body: Submission, studio: House, who: Labeller) -> Saved:
    """Answer, or answer anew. Sent twice with one client_uuid, it counts once and is answered alike."""

    def act(connection: Connection) -> Submitted:
        rater_id = rater_for(connection, who.account.id)
        held = queue.own(connection, assignment_id, rater_id)
        of = read_project(connection, held.project_id)  # an item once held is answered, by one who left the project too
        return submit(
            connection, of, assignment_id, rater_id,
            client_uuid=str(body.client_uuid), value=body.value, seconds=body.seconds, now=studio.clock(),
        )  # fmt: skip

    saved = await studio.write(act)
    return Saved(
        judgement=saved.judgement,
        revision=saved.revision,
        repeated=saved.repeated,
        late=saved.late,
        feedback=dict(saved.feedback),
    )


@router.get("/projects/{project_id}/mine")
def mine(project_id: int, studio: House, who: Labeller) -> list[Past]:
    """What the caller did last, newest first."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        rows = queue.mine(connection, project_id, rater_id)
    return [Past.model_validate(row, from_attributes=True) for row in rows]


@router.get("/assignments/{assignment_id}")
def task(assignment_id: int, studio: House, who: Labeller) -> Task:
    """One of the caller's items again, with what was answered."""
    rater_id = rater_of(studio, who)
    with studio.store.read() as connection:
        held = queue.own(connection, assignment_id, rater_id)
        of = project_for(connection, who, held.project_id)
        return read_tasks(connection, of, [assignment_id], studio.clock())[0]


@router.post("/assignments/{assignment_id}/heartbeat")
async def heartbeat(assignment_id: int, studio: House, who: Labeller) -> Done:
    """Hold an item longer. `done` is false when the lease had run out: an answer is kept all the same."""
    now = studio.clock()

    def act(connection: Connection) -> bool:
        rater_id = rater_for(connection, who.account.id)
        held = queue.own(connection, assignment_id, rater_id)
        of = project_for(connection, who, held.project_id)
        return queue.heartbeat(connection, assignment_id, rater_id, now + 60 * of.queue.lease_minutes)

    return Done(done=await studio.write(act, soon=True))


@router.put("/assignments/{assignment_id}/draft")
async def draft(assignment_id: int, body: Draft, studio: House, who: Labeller) -> Done:
    """Keep what is filled in so far."""

    def act(connection: Connection) -> None:
        rater_id = rater_for(connection, who.account.id)
        save_draft(connection, assignment_id, rater_id, body.value, studio.clock())

    await studio.write(act)
    return Done()


async def _aside(studio: House, who: Labeller, assignment_id: int, kind: str, text: str) -> Done:
    def act(connection: Connection) -> None:
        rater_id = rater_for(connection, who.account.id)
        queue.put_aside(connection, assignment_id, rater_id, kind, text, studio.clock())

    await studio.write(act)
    return Done()


@router.post("/assignments/{assignment_id}/skip")
async def skip(assignment_id: int, body: Aside, studio: House, who: Labeller) -> Done:
    """Leave an item to others; it costs nothing."""
    return await _aside(studio, who, assignment_id, "skipped", body.text)


@router.post("/assignments/{assignment_id}/report")
async def report(assignment_id: int, body: Aside, studio: House, who: Labeller) -> Done:
    """Tell whoever manages the project that something is wrong with an item; it costs nothing."""
    if not body.text.strip():
        raise Refused(422, "say in a few words what is wrong with it")
    return await _aside(studio, who, assignment_id, "reported", body.text)
