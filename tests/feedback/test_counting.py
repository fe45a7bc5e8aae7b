"""The report on raters by a process of its own: the same as in this one, and in a sentence where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.feedback.conftest import new_item, plain

from heedful.errors import ResourceError
from heedful.feedback import counting
from heedful.feedback.intake import Imported, import_items
from heedful.feedback.presets import PRESETS
from heedful.feedback.projects import create_project, rater_named, read_project
from heedful.feedback.sheet import read_answered
from heedful.feedback.store import open_store
from heedful.feedback.submit import add_machine_label
from heedful.feedback.tables import item


def test_it_is_what_this_process_would_count(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    with store.write() as connection:
        of = read_project(connection, create_project(connection, "p", PRESETS["pair"].sheet, plain(overlap=2)))
    assert counting.agreement(store, of.id) == {}
    import_items(store, of, [new_item(i) for i in range(30)], Imported())
    with store.write() as connection:
        connection.execute(update(item).values(open=True))
        for judge in ("one", "two"):
            who = rater_named(connection, "ai", judge)
            for key in range(1, 31):
                value = read_answered({"verdict": "prefer", "preferred": key % 3 == 0, "strength": 1})
                add_machine_label(connection, of, key, who, value, str(uuid.uuid4()), 1.0)
    found = counting.agreement(store, of.id)
    assert found == counting.count(store, of.id)
    assert found["judgements"] == 60 and found["overlapping"] == 30
    with store.write() as connection:
        connection.execute(update(item).where(item.c.id <= 10).values(chosen_by="ensemble"))
    assert counting.agreement(store, of.id, by_chance=True)["judgements"] == 40
    store.close()


def test_a_process_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "studio.db"))
    with pytest.raises(ResourceError, match=r"could not be counted \(.*there is no project 7\); nothing was changed"):
        counting.agreement(store, 7)

    def killed(*given: Any, **more: Any) -> Any:
        return subprocess.CompletedProcess((), -9, "", "")

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(ResourceError, match="exit code -9"):
        counting.agreement(store, 7)
    store.close()


def test_the_server_loads_no_scipy() -> None:
    code = (
        "import sys, heedful.studio.server, heedful.studio_cli, heedful.feedback.drift, heedful.feedback.order\n"
        "assert 'scipy' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
