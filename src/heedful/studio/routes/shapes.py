"""Bodies and answers that several routes share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from heedful.feedback.accounts import Role
from heedful.feedback.projects import QueuePolicy
from heedful.feedback.sheet import Sheet


class Body(BaseModel):
    """A request's body: a misspelt field is refused."""

    model_config = ConfigDict(extra="forbid")


class Done(BaseModel):
    """It is done and on the disk."""

    done: bool = True


class Me(BaseModel):
    """The caller."""

    id: int
    login: str
    name: str
    role: Role


class Turn(BaseModel):
    """One message of a conversation: as a tree to show, and as it was written."""

    role: str
    tree: list[Any]
    text: str
    direction: str


class Answer(BaseModel):
    """One answer. Nothing says who wrote it."""

    tree: list[Any]
    text: str
    direction: str
    steps: list[list[Any]]


class OnItem(BaseModel):
    """What a rater wrote on an item. The answers stand as that rater saw them."""

    id: int
    part: str
    rater: str
    text: str
    at: float
    language: str
    prompt: list[Turn]
    answers: list[Answer]


class Task(BaseModel):
    """What a rater works on. Answers stand in the order drawn for this rater."""

    assignment: int
    state: str
    seconds_left: float
    training: bool
    warning: str  # of what it holds (`yes`: no more is known); a page shows nothing of it before the rater opens it
    language: str  # of prompt and answers, as a tag of BCP 47; empty where it isn't known
    prompt: list[Turn]
    answers: list[Answer]
    filled_in: dict[str, Any]  # the last submission or draft, as shown
    suggestions: list[dict[str, Any]]  # of machines, where the project shows them


class ProjectCard(BaseModel):
    """A project as its list shows it; the items' numbers are for those who review."""

    id: int
    name: str
    about: str
    warning: str
    open: bool
    sheet: Sheet
    mine: int
    items: int | None = None
    begun: int | None = None
    complete: int | None = None


class ProjectFull(BaseModel):
    """A project as its dashboard shows it."""

    id: int
    name: str
    about: str
    guidelines: str
    warning: str
    open: bool
    sheet: Sheet
    queue: QueuePolicy
    items: int
    begun: int
    complete: int
    gold: int
    training: int
    probes: int
    lacking: dict[str, int]  # skills that nobody here carries, and how many items wait for them
    waiting: int
