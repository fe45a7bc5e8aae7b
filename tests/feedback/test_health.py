"""What `heedful doctor` says of a studio's database: well, old, newer, damaged, not there; it changes nothing."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from typer.testing import CliRunner

from heedful.cli import app
from heedful.feedback.health import look_at
from heedful.feedback.migrate import HEAD
from heedful.feedback.store import Store


def said(database: Path | str) -> dict[str, tuple[str, bool]]:
    return {name: (words, good) for name, words, good in look_at(str(database))}


def test_a_database_that_is_well_and_its_last_copy(store: Store, tmp_path: Path) -> None:
    found = said(store.file)
    assert found["studio, tables"] == (f"{HEAD}, as this heedful writes them", True)
    assert "sound" in found["studio, integrity"][0] and found["studio, room"][1]
    assert "none that is known" in found["studio, last backup"][0]
    done = CliRunner().invoke(app, ["studio", "backup", str(tmp_path / "c.db"), "--database", str(store.file)])
    assert done.exit_code == 0 and "within a day" in said(store.file)["studio, last backup"][0]
    with store.write() as connection:
        connection.execute(text("DROP TRIGGER event_no_update"))
        connection.execute(text("UPDATE event SET at = at - 864000"))
    assert "10 days ago: it is time" in said(store.file)["studio, last backup"][0]


def test_what_is_wrong_is_said(store: Store, tmp_path: Path) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    words, good = said(store.file)["studio, tables"]
    assert "newer heedful" in words and not good
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    words, good = said(store.file)["studio, tables"]
    assert "the next start brings them" in words and good
    store.close()
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(store.file.read_bytes()[:9000])
    [(words, good)] = said(damaged).values()
    assert not good and ("damaged" in words or "sound" in words)
    away = tmp_path / "nowhere" / "studio.db"
    assert said(away) == {"studio": (f"no {away} here", True)} and not away.parent.exists()
