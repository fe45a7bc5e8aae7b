"""Out of a project, into another, and out again: the same bytes in every format that labels can come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heedful.feedback.exports.pairs import LeftOut
from heedful.feedback.exports.rows import ExportFormat
from heedful.feedback.intake import import_file
from heedful.feedback.judgements import Judgement, raw_row
from heedful.feedback.labels import rows_of
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import Project
from heedful.feedback.store import Store
from heedful.records import Message, Prompt

Make = Callable[..., Project]
OTHERWISE = (ExportFormat.TRL_STEPWISE, ExportFormat.DEMONSTRATIONS)  # of steps; and no judgements at all
NUMBERS = ("judgement", "item")  # a database's own


def judged(number: int, value: dict[str, Any], *answers: str, turns: tuple[str, ...] = ()) -> Judgement:
    said = (*turns, f"Why, {number} — or not?")
    roles = ("system", "user", "assistant", "user")[: len(said)] if turns else ("user",)
    texts = answers or (f"Since {number}.", "Brick,\n\nof course")
    return Judgement(
        prompt=Prompt(id=f"p{number}", messages=tuple(map(Message, roles, said)), meta={"lang": "en"}),
        completions=texts,
        value=value,
        rater="ann",
        sources=("sft", "ppo", "given")[: len(texts)],
        shown=tuple(reversed(range(len(texts)))),
        chosen_by="random",
        seconds=2.5,
        at=1.7e9 + number,
    )


PAIRS = [
    judged(0, {"verdict": "prefer", "preferred": 0, "strength": 1}),
    judged(1, {"verdict": "prefer", "preferred": 1, "strength": 3, "reason": "ripe"}),
    judged(2, {"verdict": "prefer", "preferred": 0, "strength": 2}, turns=("Be brief.", "Fruit?", "Apple.")),
    judged(3, {"verdict": "tie"}),
    judged(4, {"verdict": "both_bad"}),
    judged(5, {"verdict": "cant_judge"}),
]
RANKED = [judged(number, {"ranks": [1, 0, number % 2]}, "a", "b", f"c{number}") for number in range(3)]
STEPS = [
    judged(0, {"steps": ["right", "wrong"]}, "1+1=2\n2+1=4"),
    judged(1, {"steps": ["neutral", "right"]}, "So.\n2+2=4"),
]
SEVERAL = [  # who says what of which pair: they agree, differ, and one has judged it alone
    replace(judged(number, {"verdict": "prefer", "preferred": preferred, "strength": 1}), rater=rater)
    for rater, number, preferred in (("ann", 0, 0), ("ben", 1, 1), ("ben", 0, 0), ("cy", 0, 1), ("cy", 2, 1))
]
CASES = [
    *(("pair", PAIRS, format) for format in ExportFormat if format not in OTHERWISE),
    *(("rank", RANKED, format) for format in ("raw", "rankings", "nemo-rl", "oasst")),
    *(("steps", STEPS, format) for format in ("raw", "trl-stepwise")),
    *(("pair", SEVERAL, format) for format in ExportFormat if format not in OTHERWISE),
]


@pytest.mark.parametrize(("preset", "log", "format"), CASES, ids=[f"{c[0]} {len(c[1])} {c[2]}" for c in CASES])
def test_out_of_one_project_into_another(
    preset: str, log: list[Judgement], format: str, store: Store, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(raw_row(one)) + "\n" for one in log))
    exports = []
    for name in ("first", "second"):
        project = make(0, name=name, sheet=PRESETS[preset].sheet)
        report = import_file(store, project.id, path, "ann")
        assert report.faults == [] and report.labels >= report.items > 0
        with store.read() as connection:
            rows = [row for row in rows_of(connection, project, ExportFormat(format)) if not isinstance(row, LeftOut)]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        numbered = NUMBERS if format == "raw" else ()
        exports.append([json.dumps({k: v for k, v in row.items() if k not in numbered}) for row in rows])
    assert exports[0] == exports[1] and exports[0]
    if format == "raw":
        assert exports[0] == [json.dumps({k: v for k, v in raw_row(one).items() if k not in NUMBERS}) for one in log]
