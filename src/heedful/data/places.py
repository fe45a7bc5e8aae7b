"""Where records stand in the files that they were read from, for sentences about rows that are sound but don't fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heedful.data.convert import to_completion, to_demonstration, to_prompt, to_ranking
from heedful.data.faults import Fault
from heedful.data.formats import Format, recognise
from heedful.data.grades import to_outcome, to_rating, to_steps
from heedful.data.rows import read_rows
from heedful.data.sources import located
from heedful.records import Completion, Demonstration, Prompt, Ranking, Rating, Row, StepLabels

Read = Prompt | Demonstration | Completion | Ranking | Rating | StepLabels


def places_of(records: Sequence[Read], paths: Sequence[str | Path]) -> list[str]:
    """File and line of each of these records, which the readers in `sources` gave; equal rows are found in order."""
    found: dict[int, str] = {}
    for path in paths:
        for item in located(read_rows(Path(path)), recognise):
            if isinstance(item, Fault):
                continue
            where, row, kind = item
            sought = [n for n, record in enumerate(records) if n not in found and _is_read_as(record, row, kind)]
            found |= dict.fromkeys(sought[:1], where)
            if len(found) == len(records):
                return [found[n] for n in range(len(records))]
    changed = ", ".join(map(str, paths))  # since it was read
    return [found.get(n, changed) for n in range(len(records))]


def _is_read_as(record: Read, row: Row, kind: Format) -> bool:
    match record:
        case Prompt():
            return to_prompt(row, kind).messages == record.messages
        case Demonstration():
            return to_demonstration(row, kind) == record
        case Completion():
            return to_completion(row, kind) == record
        case Ranking():
            return to_ranking(row, kind) == record
        case Rating():
            return to_rating(row) == record
        case StepLabels():
            return (to_steps(row) if kind is Format.STEPWISE else to_outcome(row, kind)) == record
