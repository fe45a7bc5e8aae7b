"""What the dashboard shows, from one count over an index: it reads no text and no judgement."""

from __future__ import annotations

from collections import defaultdict
from math import erfc, sqrt
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, func, select

from heedful.evaluate.rates import wilson
from heedful.feedback.judgements import DECISION
from heedful.feedback.tables import account, assignment, rater

Bounds = tuple[float, float] | None  # Wilson's 95 % interval of a share; None where nothing was counted


class RaterFigures(BaseModel):
    """One rater: `gold_right` of `gold` hidden checks, and so of training items, by the first answer; `first` of
    `decided` answers preferred were shown first. Beside each share of counts its interval."""

    rater: str
    """The pseudonym."""
    kind: str
    """`human`, `ai` or `simulated`."""
    name: str
    """Of the account; empty where the caller may not see it."""
    done: int
    """Items answered."""
    skipped: int
    """Items left to others."""
    reported: int
    """Items told to be wrong."""
    late: int
    """Answers after the lease."""
    gold: int
    """Hidden checks answered."""
    gold_right: int
    """Of them right."""
    gold_interval: Bounds
    """Of the share, 95 %."""
    training: int
    """Training items answered."""
    training_right: int
    """Of them right."""
    training_interval: Bounds
    """Of the share, 95 %."""
    decided: int
    """Pairs in which one was preferred."""
    first: int
    """Of them, the one shown first."""
    first_interval: Bounds
    """Of the share, 95 %."""


class SideTest(BaseModel):
    """Whether the answer shown first wins more than half: its share, and the chance of as much by luck alone."""

    n: int
    """Decided pairs."""
    first: int
    """Of them, the answer shown first."""
    share: float
    """first / n."""
    interval: Bounds
    """Of the share, 95 %."""
    p: float
    """The chance of a share as far from a half by luck alone."""


class Figures(BaseModel):
    """All that is counted of a project's judgements."""

    raters: list[RaterFigures]
    """Each with its counts."""
    verdicts: dict[str, int]
    """What people said, and how often."""
    side: SideTest
    """Whether the side of the screen draws answers."""


def figures(connection: Connection, project_id: int, *, names: bool) -> Figures:
    """names: whether account names stand beside pseudonyms."""
    columns = (  # in the index's order
        assignment.c.rater_id, assignment.c.state, assignment.c.part, assignment.c.verdict, assignment.c.choice,
        assignment.c.agrees,
    )  # fmt: skip
    where = (assignment.c.project_id == project_id, assignment.c.part != DECISION)
    query = select(*columns, func.count().label("n")).where(*where).group_by(*columns)
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    verdicts: dict[str, int] = defaultdict(int)
    kinds = {row.id: row for row in connection.execute(_raters(project_id))}
    for row in connection.execute(query):
        _count(counts[row.rater_id], row)
        if row.state == "done" and row.part in ("main", "chat") and kinds[row.rater_id].kind == "human":
            verdicts[row.verdict] += row.n
    raters = [_rater(kinds[key], one, names) for key, one in sorted(counts.items())]
    people = [one for one in raters if one.kind == "human"]
    return Figures(
        raters=raters,
        verdicts=dict(verdicts),
        side=side_test(sum(one.decided for one in people), sum(one.first for one in people)),
    )


def _raters(project_id: int) -> Any:
    mine = select(assignment.c.rater_id).where(assignment.c.project_id == project_id).distinct()
    columns = (rater.c.id, rater.c.name, rater.c.kind, account.c.name.label("person"))
    return (
        select(*columns).outerjoin(account, account.c.id == rater.c.account_id).where(rater.c.id.in_(mine))
    )  # fmt: skip


def _count(of: dict[str, int], row: Any) -> None:
    of[row.state] += row.n
    if row.state != "done":
        return
    if row.part in ("gold", "training") and row.agrees >= 0:  # none that its rater has appealed against
        of[row.part] += row.n
        of[f"{row.part}_right"] += row.n if row.agrees == 1 else 0
    if row.verdict == "prefer" and row.choice >= 0:  # the order in which the answers were seen is known
        of["decided"] += row.n
        of["first"] += row.n if row.choice == 0 else 0


def _rater(row: Any, counts: dict[str, int], names: bool) -> RaterFigures:
    return RaterFigures(
        rater=row.name,
        kind=row.kind,
        name=(row.person or "") if names else "",
        done=counts["done"],
        skipped=counts["skipped"],
        reported=counts["reported"],
        late=counts["expired"],
        gold=counts["gold"],
        gold_right=counts["gold_right"],
        gold_interval=bounds(counts["gold_right"], counts["gold"]),
        training=counts["training"],
        training_right=counts["training_right"],
        training_interval=bounds(counts["training_right"], counts["training"]),
        decided=counts["decided"],
        first=counts["first"],
        first_interval=bounds(counts["first"], counts["decided"]),
    )


def bounds(k: int, n: int) -> Bounds:
    return wilson(k, n) if n else None


def side_test(n: int, first: int) -> SideTest:
    """Two-sided test of a fair coin; the normal approximation with continuity correction is good from n = 20 on."""
    if not n:
        return SideTest(n=0, first=0, share=0.5, interval=None, p=1.0)
    z = max(0.0, abs(first - n / 2) - 0.5) / sqrt(n / 4)
    return SideTest(n=n, first=first, share=first / n, interval=bounds(first, n), p=erfc(z / sqrt(2)))
