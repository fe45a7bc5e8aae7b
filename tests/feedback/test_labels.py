"""The raw log holds all that raters did; whatever reads it takes what stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.feedback.conftest import say

from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.exports.write import Query, export
from heedful.feedback.imports import gather, read_judgements
from heedful.feedback.intake import import_file
from heedful.feedback.judgements import Judgement
from heedful.feedback.labels import read_labels, rows_of
from heedful.feedback.projects import Project
from heedful.feedback.queue import lease, put_aside
from heedful.feedback.store import Store

Make = Callable[..., Project]


def test_every_revision_skip_and_report_is_in_the_raw_log(
    store: Store, make: Make, people: list[int], tmp_path: Path
) -> None:
    project = make(4)
    with store.write() as connection:
        first, second, third = lease(connection, project, people[0], 0.0, 3)
        say(connection, project, first, people[0], {"verdict": "tie"})
        say(connection, project, first, people[0], {"verdict": "both_bad"}, now=200.0)
        put_aside(connection, second, people[0], "skipped", "", 300.0)
        put_aside(connection, third, people[0], "reported", "not a question", 400.0)
        rows = list(rows_of(connection, project, ExportFormat.RAW))
    said = [(row["revision"], row.get("state", ""), row["value"], row["at"]) for row in rows if isinstance(row, dict)]
    assert said == [
        (1, "superseded", {"verdict": "tie"}, 100.0),
        (2, "", {"verdict": "both_bad"}, 200.0),
        (1, "skipped", {"verdict": "none"}, 300.0),
        (1, "reported", {"verdict": "none", "reason": "not a question"}, 400.0),
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [stands] = read_judgements(log)
    assert isinstance(stands, Judgement) and stands.value == {"verdict": "both_bad"}
    assert len(list(read_judgements(log, every=True))) == 4
    assert [gather([log], tmp_path / "all.jsonl").new for _ in range(2)] == [4, 0]
    export([log], Query(format=ExportFormat.RAW), tmp_path / "raw")
    assert (tmp_path / "raw" / "train.jsonl").read_text().splitlines() == log.read_text().splitlines()
    export([log], Query(format=ExportFormat.RANKINGS), tmp_path / "rankings")
    assert len((tmp_path / "rankings" / "train.jsonl").read_text().splitlines()) == 1
    other = make(0, name="other")
    report = import_file(store, other.id, log)
    assert (report.items, report.labels, report.faults) == (1, 1, [])
    with store.read() as connection:
        assert [label.value for label in read_labels(connection, other)] == [{"verdict": "both_bad"}]
