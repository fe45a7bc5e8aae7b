"""Which of the items that a machine has labelled people are asked about all the same, where agreement decides it.

Of each judge on each kind of prompt, the lower bound of its agreement with people sets the share that people see:
everything up to `POOR`, `FLOOR` from `GOOD` on, a straight line between. Whoever has been compared on fewer than
`ENOUGH` items has shown nothing yet, and people see everything. The share is never 0: an item's draw is fixed, and
those drawn below `FLOOR` are always seen and marked `audit`, so agreement stays measured on a random part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from heedful.evaluate.rates import wilson
from heedful.feedback.projects import BY_AGREEMENT, GIVEN, Project
from heedful.feedback.queue import share_of
from heedful.feedback.sheet import read_answered
from heedful.feedback.submit import label_of
from heedful.feedback.tables import assignment, item, judgement, prompt, rater

STRATA = ("stratum", "family", "category")  # columns that name a prompt's kind; the first that a prompt has counts
ENOUGH = 20  # items that both a judge and people labelled
POOR, GOOD = 0.6, 0.85  # lower bounds of agreement at which people see everything, and as little as they ever do
FLOOR = 0.1
AUDIT = "audit"  # by what an item was chosen that people see whatever its judge has shown


@dataclass(frozen=True, slots=True)
class Route:
    """One judge on one kind of prompt: its agreement with people on `items` items, and the share that people see."""

    stratum: str
    judge: str
    items: int
    agreement: float  # the mean over items of the share of people who say the same; 0 without items
    low: float
    high: float
    share: float


def kind_of(meta: Mapping[str, Any]) -> str:
    """The kind of a prompt; empty where none is known."""
    return next((str(meta[key]) for key in STRATA if meta.get(key)), "")


def share_for(low: float, items: int) -> float:
    """The share that people see, from the lower bound of agreement on so many items."""
    if items < ENOUGH:
        return 1.0
    return FLOOR + (1 - FLOOR) * min(1.0, max(0.0, (GOOD - low) / (GOOD - POOR)))


def routes(connection: Connection, of: Project) -> list[Route]:
    """Every judge on every kind of prompt that it has labelled."""
    agreed: dict[tuple[str, str], list[float]] = defaultdict(list)
    for labelled in _labelled(connection, of).values():
        for judge, said in labelled.machines.items():
            same = [label == said for label in labelled.people]
            agreed[labelled.stratum, judge] += [sum(same) / len(same)] if same else []
    found = []
    for (stratum, judge), values in sorted(agreed.items()):
        low, high = wilson(sum(values), len(values))
        mean = sum(values) / len(values) if values else 0.0
        found.append(Route(stratum, judge, len(values), mean, low, high, share_for(low, len(values))))
    return found


@dataclass(slots=True)
class _Labelled:
    """What was said of one item, in a word each."""

    stratum: str
    people: list[str]
    machines: dict[str, str]


def _labelled(connection: Connection, of: Project) -> dict[int, _Labelled]:
    """Every item of the main queue that a machine has labelled, by number."""
    query = (
        select(assignment.c.item_id, judgement.c.value, rater.c.name, rater.c.kind, prompt.c.meta)
        .join(judgement, judgement.c.id == assignment.c.judgement_id)
        .join(rater, rater.c.id == assignment.c.rater_id)
        .join(item, item.c.id == assignment.c.item_id)
        .join(prompt, prompt.c.id == item.c.prompt_id)
        .where(assignment.c.project_id == of.id, assignment.c.part == "main")
    )
    found: dict[int, _Labelled] = {}
    for row in connection.execute(query):
        one = found.setdefault(row.item_id, _Labelled(kind_of(row.meta), [], {}))
        said = label_of(read_answered(row.value))
        if row.kind == "human":
            one.people.append(said)
        elif row.kind == "ai":
            one.machines[row.name] = said
    return {key: one for key, one in found.items() if one.machines}


def route(connection: Connection, of: Project) -> int:
    """Open and close what nobody has begun by the shares of now; how many a machine's label is left to stand for.

    An item with labels by several judges is seen as often as the one that agrees least asks for.
    """
    if of.queue.audit != BY_AGREEMENT:
        return 0
    shares = {(one.stratum, one.judge): one.share for one in routes(connection, of)}
    labelled = _labelled(connection, of)
    where = (item.c.project_id == of.id, item.c.part == "main", item.c.taken == 0, item.c.dispute == "")
    left = 0
    for row in connection.execute(select(item.c.id, item.c.open, item.c.chosen_by).where(*where)).all():
        if row.id not in labelled:
            continue
        one, drawn = labelled[row.id], share_of(of.seed, "audit", row.id)
        seen = drawn < max(shares[one.stratum, judge] for judge in one.machines)
        chosen_by = AUDIT if drawn < FLOOR and row.chosen_by != GIVEN else row.chosen_by
        if (seen, chosen_by) != (row.open, row.chosen_by):
            connection.execute(update(item).where(item.c.id == row.id).values(open=seen, chosen_by=chosen_by))
        left += not seen
    return left
