"""`heedful studio next`: models score what waits, and where they differ comes first; scales don't matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select, update
from tests.feedback.conftest import plain
from tests.studio.conftest import Place
from typer.testing import CliRunner

from heedful import next_items
from heedful.cli import app
from heedful.feedback.projects import change_project
from heedful.feedback.tables import item, prompt
from heedful.records import Prompt
from heedful.rewards.protocol import Score


class Scorer:
    """Likes what ends in 0; of question 3 `odd` it thinks the other way round."""

    def __init__(self, scale: float, odd: float = 1.0) -> None:
        self.scale, self.odd = scale, odd

    def score(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Score]:
        return [
            Score(self.scale * text.endswith(".0") * (self.odd if asked.id == "q3" else 1.0), {})
            for asked, text in zip(prompts, texts, strict=True)
        ]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_items, "load_all", lambda folders, device: [Scorer(1.0), Scorer(1000.0, -1.0)])


def run(place: Place, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["studio", "next", "p", "--database", place.settings.database, *more])
    return done.exit_code, done.output + str(done.exception or "")


def test_items_on_which_the_models_differ_come_first(place: Place, models: None) -> None:
    with place.store.write() as connection:
        change_project(connection, place.project.id, queue=plain(random=1e-9))
        first = select(item.c.id).join(prompt).where(prompt.c.name == "q0")
        begun = connection.execute(first).scalar_one()
        connection.execute(update(item).where(item.c.id == begun).values(taken=1))
    code, said = run(place, "--reward", "a", "--reward", "b")
    assert code == 0, said
    with place.store.read() as connection:
        rows = connection.execute(select(item).where(item.c.id != begun).order_by(item.c.place)).all()
        assert connection.execute(select(item.c.scores).where(item.c.id == begun)).scalar_one() == []
    assert all(len(row.scores) == 2 and len(row.scores[0]) == 2 for row in rows)
    of = {row.id: row for row in rows}
    gaps = {key: [a - b for a, b in zip(*row.scores, strict=True)] for key, row in of.items()}
    odd = [key for key, (one, other) in gaps.items() if one * other < 0]
    assert len(rows) == 5 and [rows[0].id] == odd and rows[0].chosen_by == "ensemble"


def test_what_can_not_work_is_said(place: Place, tmp_path: Path) -> None:
    code, said = run(place, "--reward", str(tmp_path))
    assert code != 0 and "can't differ from itself" in said
    code, said = run(place)
    assert code != 0 and "scores of reward models" in said
    assert run(place, "--by", "interval")[0] == 0
