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


class Problem(BaseModel):
    """An error."""

    error: str
    """One sentence: what is wrong, and how to mend it."""


class Done(BaseModel):
    """It is done and on the disk."""

    done: bool = True
    """False where there was nothing to do any more."""


class Me(BaseModel):
    """The caller."""

    id: int
    """The account's number."""
    login: str
    """The name to sign in by."""
    name: str
    """The name that others read."""
    role: Role
    """What the account may do; see the roles in docs/studio.md."""


class Turn(BaseModel):
    """One message of a conversation: as a tree to show, and as it was written."""

    role: str
    """`system`, `user` or `assistant`; `text`: a text to be continued."""
    tree: list[Any]
    """The text's Markdown as nested lists of allowed tags, for a page to build elements from."""
    text: str
    """The text as it was written, with unseen characters marked."""
    direction: str
    """`ltr` or `rtl`, where the text says which way it runs."""


class Answer(BaseModel):
    """One answer. Nothing says who wrote it."""

    tree: list[Any]
    """As in Turn."""
    text: str
    """As in Turn."""
    direction: str
    """As in Turn."""
    steps: list[list[Any]]
    """A tree for each line, where the sheet labels steps; else none."""


class OnItem(BaseModel):
    """What a rater wrote on an item. The answers stand as that rater saw them."""

    id: int
    """Its number, to settle it by."""
    part: str
    """`main`, `chat`, `gold`, `training` or `probe`."""
    rater: str
    """The pseudonym of who wrote it."""
    text: str
    """What was written."""
    at: float
    """When, in seconds since 1970."""
    language: str
    """Of prompt and answers, as a tag of BCP 47; empty where it isn't known."""
    prompt: list[Turn]
    """The conversation that waits for an answer."""
    answers: list[Answer]
    """In the order in which this rater saw them."""


class Task(BaseModel):
    """What a rater works on. Answers stand in the order drawn for this rater."""

    assignment: int
    """The place's number: answers, drafts, skips and reports name it."""
    state: str
    """`leased`, `done`, `skipped`, `reported`, `expired` (its lease ran out), or `again`."""
    seconds_left: float
    """Of the lease; an answer counts after it too."""
    training: bool
    """Whether it is a training item, whose answer is told afterwards."""
    warning: str
    """What covers the item until it is opened (`yes`: no more is known); a page shows nothing of it before."""
    language: str
    """Of prompt and answers, as a tag of BCP 47; empty where it isn't known."""
    prompt: list[Turn]
    """The conversation that waits for an answer."""
    answers: list[Answer]
    """In the order drawn for this rater; `value` counts them so."""
    filled_in: dict[str, Any]
    """The last submission or draft, as shown; see Answered."""
    suggestions: list[dict[str, Any]]
    """What machines said, where the project shows it."""


class ProjectCard(BaseModel):
    """A project as its list shows it; the items' numbers are for those who review."""

    id: int
    """The project's number."""
    name: str
    """Unique in this studio."""
    about: str
    """One or two sentences for its list."""
    warning: str
    """What raters read before its first item."""
    open: bool
    """Whether items are handed out."""
    sheet: Sheet
    """What raters are asked."""
    mine: int
    """Items that the caller has answered."""
    in_all: int
    """Items for those with the caller's skills, answered or not; raters share them. A chat's turns are not counted."""
    items: int | None = None
    """Items in it; null where the caller may not review."""
    begun: int | None = None
    """Of them with a judgement at least; null as above."""
    complete: int | None = None
    """Of them with all that were wanted; null as above."""
    to_decide: int | None = None
    """Of them under Second looks, as last looked for there or on the dashboard; null as above."""


class ProjectFull(BaseModel):
    """A project as its dashboard shows it."""

    id: int
    """The project's number."""
    name: str
    """Unique in this studio."""
    about: str
    """One or two sentences for its list."""
    guidelines: str
    """What raters are to go by, as Markdown."""
    warning: str
    """What raters read before its first item."""
    open: bool
    """Whether items are handed out."""
    sheet: Sheet
    """What raters are asked; it stays as it was made."""
    queue: QueuePolicy
    """How items are handed out."""
    items: int
    """Items but for checks, training items and probes."""
    begun: int
    """Of them with a judgement at least."""
    complete: int
    """Of them with all that were wanted."""
    gold: int
    """Hidden checks."""
    training: int
    """Training items."""
    probes: int
    """Items that come to each rater again and again."""
    lacking: dict[str, int]
    """Skills that nobody here carries, and how many items wait for them."""
    waiting: int
    """Items with free places that raters may fill; those to decide are not among them."""
    to_decide: int
    """Items on which all who may answer did and disagree: they wait for a second look, or for another rater."""
