"""Labels of AI judges and other programs, stored like any rater's. The items they read carry no sources either."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import Connection, exists, select

from heedful.errors import HeedfulError
from heedful.feedback.disputes import OUT
from heedful.feedback.draws import read_draws
from heedful.feedback.projects import AGAIN, Project, rater_named
from heedful.feedback.sheet import MOST, read_answered
from heedful.feedback.submit import Reused, add_machine_label, label_of_draws
from heedful.feedback.tables import assignment, completion, item, prompt, rater
from heedful.studio.access import House, Machine, project_for
from heedful.studio.routes.shapes import Body

router = APIRouter(tags=["machines"])
LABELLED = ("main", "gold", "probe")  # one without a suggestion would show


class MachineItem(BaseModel):
    """An item for a judge, in stored order: a judge should be asked in both orders, or in a drawn one."""

    item: int
    """The item's number, which a label names."""
    prompt: list[dict[str, str]]
    """The conversation, as objects with `role` and `content`."""
    answers: list[str]
    """Texts, in stored order."""


class MachineDraw(Body):
    """What a judge said one time, in stored order; `shown`: stored places in the order in which it saw the answers."""

    value: dict[str, Any]
    """The filled-in sheet."""
    shown: list[int] = Field(max_length=MOST)
    """Stored places in the order in which the judge saw the answers."""


class MachineLabel(Body):
    """One label, in stored order; `shown`: stored places in the order in which the judge saw them, if it is known.

    Or `draws` in the place of both: all that the judge said when it was asked several times, best in both orders. The
    studio makes one label of them, by one rule for all judges, and keeps each.
    """

    item: int
    """The item's number."""
    client_uuid: UUID
    """Drawn once for a label, and sent again with every retry of it."""
    value: dict[str, Any] = {}
    """The filled-in sheet; or give `draws`."""
    shown: list[int] = Field(default=[], max_length=MOST)
    """Stored places in the order in which the judge saw the answers; empty: not known."""
    draws: list[MachineDraw] = Field(default=[], max_length=40)
    """All that the judge said when it was asked several times."""

    @model_validator(mode="after")
    def _says_something(self) -> MachineLabel:
        if bool(self.draws) == bool(self.value) or (self.draws and self.shown):
            raise ValueError("give 'value' (with 'shown', if it is known), or 'draws' alone")
        return self


class MachineLabels(Body):
    """Labels of one judge."""

    judge: str = Field(min_length=1, max_length=120)
    """The judge's name, which labels and figures carry."""
    labels: list[MachineLabel] = Field(max_length=1000)
    """Each goes in by itself."""


class MachineReport(BaseModel):
    """How many labels went in, and what was wrong with the others."""

    saved: int
    """New labels."""
    there_already: int
    """Labels that this judge had given before; they stay."""
    faults: list[str]
    """A sentence for each that was refused."""


@router.get("/projects/{project_id}/machine-items")
def items(
    project_id: int,
    studio: House,
    who: Machine,
    judge: Annotated[str, Query(max_length=120)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: int = 0,
) -> list[MachineItem]:
    """Items that this judge has not labelled yet, by number; hidden checks too, and probes, each once."""
    labelled = (
        exists()
        .where(assignment.c.item_id == item.c.id, assignment.c.rater_id == rater.c.id, rater.c.name == judge)
        .correlate(item)
    )
    asked = (item.c.project_id == project_id, item.c.part.in_(LABELLED), item.c.chosen_by != AGAIN)
    query = (
        select(item.c.id, item.c.completions, prompt.c.messages)
        .join(prompt, prompt.c.id == item.c.prompt_id)
        .where(*asked, item.c.dispute != OUT, item.c.id > after, ~labelled)
        .order_by(item.c.id)
        .limit(limit)
    )
    with studio.store.read() as connection:
        project_for(connection, who, project_id)
        rows = connection.execute(query).all()
        wanted = {key for row in rows for key in row.completions}
        found = connection.execute(select(completion.c.id, completion.c.text).where(completion.c.id.in_(wanted)))
        texts = {one.id: one.text for one in found}
    return [
        MachineItem(item=row.id, prompt=row.messages, answers=[texts[key] for key in row.completions]) for row in rows
    ]


def _add(connection: Connection, of: Project, label: MachineLabel, rater_id: int, now: float) -> bool:
    draws = read_draws([draw.model_dump() for draw in label.draws])
    answered = label_of_draws(connection, of, label.item, draws) if draws else read_answered(label.value)
    shown = draws[0].shown if len({draw.shown for draw in draws}) == 1 else label.shown
    return add_machine_label(
        connection, of, label.item, rater_id, answered, str(label.client_uuid), now, shown, draws=draws
    )


@router.post("/projects/{project_id}/machine-labels")
def add_labels(project_id: int, body: MachineLabels, studio: House, who: Machine) -> MachineReport:
    """Add a judge's labels; each goes in by itself, and one that is there already stays."""
    report = MachineReport(saved=0, there_already=0, faults=[])
    with studio.store.read() as connection:
        of = project_for(connection, who, project_id)
        wanted = [label.item for label in body.labels]
        query = select(item.c.id).where(item.c.project_id == project_id, item.c.id.in_(wanted))
        known = set(connection.execute(query).scalars())
    with studio.store.write() as connection:
        rater_id = rater_named(connection, "ai", body.judge)
        for label in body.labels:
            try:
                if label.item not in known:
                    raise Reused(f"this project has no item {label.item}")
                new = _add(connection, of, label, rater_id, studio.clock())
                report.saved += new
                report.there_already += not new
            except HeedfulError as error:
                report.faults.append(f"item {label.item}: {error}")
    return report
